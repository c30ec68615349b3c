"""Capacity as an interval, and the tail of the phase over all ticks."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from reports.data import evidence, formatting, tables
from reports.data.run import read
from tests.reports.synthetic_run import manifest, plant


def ramp(side: str, *, done: float, held: float, broke: float) -> dict[str, Any]:
    return {"side": side, "capacity_per_s": done, "held_per_s": held, "broke_per_s": broke}


def test_a_capacity_spans_from_what_held_to_what_did_not_over_all_ramps() -> None:
    found = evidence.capacities(
        pd.DataFrame(
            [
                ramp("inprocess", done=68.9, held=73.2, broke=91.6),
                ramp("inprocess", done=75.0, held=58.6, broke=73.2),
                ramp("inline", done=240.0, held=240.0, broke=math.nan),
                ramp("celery-stock", done=30.0, held=math.nan, broke=24.0),
            ]
        )
    )
    assert [(one.side, one.ramps, one.low, one.high) for one in found] == [
        ("inprocess", 2, 58.6, 91.6),
        ("celery-stock", 1, 30.0, 30.0),
        ("inline", 1, 240.0, math.inf),
    ]
    assert [str(one) for one in found] == ["59 to 92/s", "30/s", "at least 240/s"]


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (72.9, 91.55, "73 to 92"),
        (9.44, 9.46, "9.4 to 9.5"),
        (144, 178.8, "140 to 180"),
        (math.nan, math.nan, formatting.NOTHING),
    ],
)
def test_an_interval_has_as_many_digits_as_a_ramp_bears(low: float, high: float, text: str) -> None:
    assert formatting.span(low, high) == text


def ticks(count: int) -> list[dict[str, Any]]:
    return [
        {"block": f"d{number % 6}", "side": "inprocess", "policy": "anchored", "owner": "o", "tick": number}
        | {"due_ns": number * 10**9, "start_ns": number * 10**9 + number * 10**6, "duplicate": False}
        for number in range(count)
    ]


def drift(folder: Path, count: int) -> tables.Table:
    manifest(folder)
    plant(folder, "drift", [{"block": "d0", "side": "inprocess", "policy": "anchored", "owner": "o"}])
    plant(folder, "ticks", ticks(count))
    found = tables.drift(read(folder))
    assert found is not None
    return found


def test_the_p99_of_the_phase_is_over_all_ticks_and_has_no_column_where_they_are_too_few(
    tmp_path: Path,
) -> None:
    enough = drift(tmp_path, 368)
    cell = enough.rows[0][enough.columns.index("phase p99")]
    assert cell == formatting.ms(float(np.quantile(np.arange(368.0), 0.99, method="higher")))
    assert "phase p99 is over all ticks" in enough.caption
    few = drift(tmp_path, 367)
    assert "phase p99" not in few.columns
