from __future__ import annotations

import math
from typing import Any

import pytest

from bench.ledger.job_names import MARK
from bench.measures.events.block import NS_PER_MS, NS_PER_S, Block
from bench.measures.latency.cpu_hogs import hog_latency_frame, hogs_done, lag_columns
from bench.schema import TABLES

CALM = Block(block="h", side="inprocess", start_ns=0, end_ns=10 * NS_PER_S)
BUSY = Block(block="h", side="inprocess", start_ns=10 * NS_PER_S, end_ns=20 * NS_PER_S)


def request(number: int, ms: int) -> list[dict[str, Any]]:
    due, fields = number * NS_PER_S // 4, {"scenario": "welcome_email", "request": f"u{number}"}
    return [
        {"t": due, "event": "due", **fields},
        {"t": due, "event": "request", **fields},
        {"t": due + ms * NS_PER_MS, "event": "response", "status": 201, **fields},
    ]


def test_each_window_has_the_latency_of_its_own_requests() -> None:
    events = [event for n in range(80) for event in request(n, 5 if n < 40 else 50)]
    frames = [hog_latency_frame(events, block, [], place="loop", hogs=0) for block in (CALM, BUSY)]
    assert [tuple(frame) for frame in frames] == [TABLES["hog_latency"]] * 2
    medians = [frame[frame["quantile"] == 0.5].set_index("metric")["value_ms"] for frame in frames]
    assert [median["request"] for median in medians] == pytest.approx([5, 50])


def test_the_lag_of_the_loop_is_told_of_both_windows() -> None:
    lags = [(t * 10 * NS_PER_MS, 1.0 if t < 1000 else 9.0) for t in range(2000)]
    columns = lag_columns(lags, CALM, BUSY)
    assert columns == pytest.approx(
        {"lag_p99_calm_ms": 1, "lag_max_calm_ms": 1, "lag_p99_ms": 9, "lag_max_ms": 9}
    )
    assert all(math.isnan(lag) for lag in lag_columns([], CALM, BUSY).values())


def test_a_heavy_job_counts_once_however_often_it_was_done() -> None:
    hog, other = f"h{MARK}000/crm", "u1/crm"
    events = [{"t": t, "event": "effect", "job": job} for t, job in enumerate((hog, hog, other))]
    assert hogs_done(events) == 1
