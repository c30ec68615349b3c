from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.measures.faults.recovery import SUSTAIN_S, recovery
from scenarios.jobs import WELCOME_EMAIL
from tests.bench.measures.random_ledgers import ledgers

MS = 1_000_000
Events = list[dict[str, Any]]


def fault(on_ms: int, off_ms: int) -> Events:
    return [{"t": on_ms * MS, "event": "fault_on"}, {"t": off_ms * MS, "event": "fault_off"}]


def done_after(number: int, due_ms: int, done_ms: int | None) -> Events:
    own = {"scenario": WELCOME_EMAIL, "job": f"u{number}/email"}
    times = [
        ("submit", due_ms),
        ("accepted", due_ms),
        *([("effect", done_ms)] if done_ms is not None else []),
    ]
    due = {"t": due_ms * MS, "event": "due", "scenario": WELCOME_EMAIL, "request": f"u{number}"}
    return [due, *({"t": t * MS, "event": event, **own} for event, t in times)]


def steady(away_ms: tuple[int, int]) -> Events:
    """30 s of ten jobs a second, done 10 ms after they are due, or 10 ms after the side is back."""
    return [
        event
        for number in range(300)
        for due_ms in (number * 100,)
        for back_ms in (away_ms[1] if away_ms[0] <= due_ms < away_ms[1] else due_ms,)
        for event in done_after(number, due_ms, back_ms + 10)
    ]


@given(ledgers, st.integers(0, 5_000), st.integers(0, 5_000))
def test_whatever_the_ledger_a_recovery_is_not_negative(events: Events, on_ms: int, length_ms: int) -> None:
    found = recovery([*events, *fault(on_ms, on_ms + length_ms)], WELCOME_EMAIL)
    for seconds in (found.t_first_s, found.t_90_s, found.t_clear_s):
        assert math.isnan(seconds) or seconds >= 0


@given(ledgers)
def test_without_a_fault_there_is_nothing_to_recover_from(events: Events) -> None:
    found = recovery(events, WELCOME_EMAIL)
    assert all(math.isnan(s) for s in (found.t_first_s, found.t_90_s, found.t_clear_s))


@given(st.integers(0, 4_000))
def test_each_time_runs_from_the_end_of_the_fault_to_where_the_side_is_back(more_ms: int) -> None:
    found = recovery([*steady((10_000, 11_000 + more_ms)), *fault(10_000, 11_000)], WELCOME_EMAIL)
    assert found.t_first_s == pytest.approx(more_ms / 1000, abs=0.12)
    assert found.t_clear_s == pytest.approx(more_ms / 1000, abs=0.12)
    assert found.t_90_s <= more_ms / 1000 + SUSTAIN_S


@given(st.integers(1, 50))
def test_a_side_that_never_comes_back_never_recovers(waiting: int) -> None:
    before = [event for number in range(50) for event in done_after(number, number * 100, number * 100 + 10)]
    after = [
        event for number in range(waiting) for event in done_after(100 + number, 12_000 + number * 100, None)
    ]
    assert recovery([*before, *after, *fault(10_000, 11_000)], WELCOME_EMAIL).t_first_s == math.inf
