from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.measures.events.block import NS_PER_S, Block
from bench.measures.periodic.owners import owners_row
from scenarios import jobs

T = 2 * NS_PER_S
START = 100 * NS_PER_S
BLOCK = Block(block="o", side="inprocess", start_ns=START, end_ns=START + 10 * T)


def runs(owner: str, starts_ns: Iterable[int]) -> list[dict[str, Any]]:
    fields = {"event": "start", "scenario": jobs.ACCOUNT_SYNC, "job": jobs.sync(owner), "attempt": 1}
    return [{"t": START + start, **fields} for start in starts_ns]


def row(events: list[dict[str, Any]], *owners: str, ticks: int = 10) -> dict[str, Any]:
    return owners_row(events, BLOCK, owners=owners, interval_ns=T, ticks=ticks)


def test_owners_on_their_grid_miss_nothing() -> None:
    seen = row(runs("a", range(0, 10 * T, T)) + runs("b", range(1_000_000, 10 * T, T)), "a", "b")
    assert (seen["ticks_due"], seen["ticks_run"], seen["missed"], seen["duplicates"]) == (20, 20, 0, 0)
    assert seen["on_time_percent"] == pytest.approx(100)
    assert seen["phase_max_ms"] == pytest.approx(1)
    assert seen["jitter_sd_ms"] == pytest.approx(0)


def test_a_first_run_that_is_late_charges_itself_and_not_the_others() -> None:
    seen = row(runs("a", [0, *(k * T - 90_000_000 for k in range(1, 10))]), "a")
    assert (seen["ticks_run"], seen["missed"], seen["duplicates"]) == (10, 0, 0)
    assert seen["phase_p50_ms"] == pytest.approx(0)
    assert seen["phase_max_ms"] == pytest.approx(90)


def test_a_missed_tick_is_no_jitter() -> None:
    seen = row(runs("a", (k * T for k in range(10) if k not in {3, 4})), "a")
    assert (seen["ticks_run"], seen["missed"]) == (8, 2)
    assert seen["jitter_sd_ms"] == pytest.approx(0)
    assert seen["drift_ppm"] == pytest.approx(0)


def test_the_last_of_a_herd_is_charged_its_wait_for_the_first() -> None:
    names = [f"o{number}" for number in range(400)]
    events = [e for n, name in enumerate(names) for e in runs(name, range(n * 1_000_000, 2 * T, T))]
    seen = row(events, *names, ticks=2)
    assert seen["phase_max_ms"] == pytest.approx(399)
    assert seen["on_time_percent"] == pytest.approx(100 * 51 / 400)
    assert seen["jitter_p99_ms"] == pytest.approx(0)


def test_a_drift_of_500_ppm_is_told() -> None:
    assert row(runs("a", (int(k * T * 1.0005) for k in range(10))), "a")["drift_ppm"] == pytest.approx(500)


def test_owners_that_never_ran_are_missed() -> None:
    seen = row([], "a", "b")
    assert (seen["ticks_due"], seen["ticks_run"], seen["missed"]) == (20, 0, 20)
    assert math.isnan(seen["phase_p50_ms"])
    assert math.isnan(seen["drift_ppm"])


@given(
    st.dictionaries(
        st.sampled_from("abcd"),
        st.lists(st.integers(min_value=0, max_value=10 * T), max_size=20),
        max_size=4,
    )
)
def test_ticks_that_ran_and_ticks_that_were_missed_are_all_that_were_due(ran: dict[str, list[int]]) -> None:
    seen = row([event for owner, starts in ran.items() for event in runs(owner, starts)], *"abcd")
    assert seen["ticks_run"] + seen["missed"] == seen["ticks_due"] == 40
    assert seen["ticks_run"] + seen["duplicates"] <= sum(map(len, ran.values()))
