from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bench.faults.broker import broker_full, slow_broker
from bench.faults.jobs import crash_loop, herd, long_before_short, mutated_argument
from bench.faults.spec import CheckInput
from bench.faults.tick_checker import ticks
from scenarios.jobs import ACCOUNT_SETUP, ACCOUNT_SYNC

MS = 1_000_000
S = 1000 * MS


def seen(events: Sequence[Mapping[str, Any]], *, owners: Sequence[str] = (), **facts: Any) -> CheckInput:
    return CheckInput(
        events=events, facts=facts, start_ns=0, on_ns=10 * S, off_ns=10 * S, drained_ns=20 * S, owners=owners
    )


def job(name: str, **times: int) -> list[dict[str, Any]]:
    return [{"event": event, "t": t, "scenario": ACCOUNT_SETUP, "job": name} for event, t in times.items()]


def syncs(starts: Sequence[int], owner: str = "o") -> list[dict[str, Any]]:
    fields = {"scenario": ACCOUNT_SYNC, "job": f"{owner}/sync"}
    return [
        {"event": event, "t": t + after, **fields}
        for t in starts
        for event, after in (("start", 0), ("effect", MS), ("done", 2 * MS))
    ]


@given(st.integers(0, 900), st.sets(st.integers(11, 14), max_size=4))
def test_ticks_that_were_left_out_are_missed_and_leave_no_step(phase_ms: int, gone: set[int]) -> None:
    starts = [tick * S + phase_ms * MS for tick in range(21) if tick not in gone]
    found = ticks(seen(syncs(starts), owners=["o"]))
    assert found["missed"] == len(gone)
    assert found["duplicates"] == found["bursts"] == 0
    assert abs(found["step_ms"]) < 1


@given(st.integers(60, 400))
def test_a_grid_that_is_lost_for_good_shows_as_a_step(step_ms: int) -> None:
    starts = [tick * S + (step_ms * MS if tick > 10 else 0) for tick in range(21)]
    assert math.isclose(ticks(seen(syncs(starts), owners=["o"]))["step_ms"], step_ms)


def test_two_that_tick_show_as_duplicates() -> None:
    starts = sorted([tick * S for tick in range(20)] + [tick * S + 100 * MS for tick in range(20)])
    found = ticks(seen(syncs(starts), owners=["o"]))
    assert found["duplicates"] == found["bursts"] == found["ticks_due"] - found["missed"]


def test_an_owner_that_never_ran_misses_every_tick() -> None:
    found = ticks(seen([], owners=["o"]))
    assert found["missed"] == found["ticks_due"]


@given(st.lists(st.integers(0, 5 * S), min_size=1, max_size=40))
def test_the_herd_is_the_most_syncs_of_any_tenth_of_a_second(times: list[int]) -> None:
    events = [e for number, t in enumerate(times) for e in syncs([t], f"o{number}")]
    found = herd.check(seen(events, owners=[f"o{number}" for number in range(len(times))]))
    effects = [t + MS for t in times]
    assert found["herd"] == max(sum(t <= u < t + herd.WINDOW_NS for u in effects) for t in effects)
    assert found["share"] == found["herd"] / len(times)


def test_without_a_sync_there_is_no_herd() -> None:
    assert herd.check(seen([], owners=["o"])) == {"herd": 0, "share": 0.0, "syncs": 0}


@given(st.integers(0, 30))
def test_each_run_of_the_crashing_job_is_counted_and_no_other(runs: int) -> None:
    events = job("u1/crm", start=1) + job("b-odd-crash/crm", start=2) * runs
    assert crash_loop.check(seen(events)) == {"runs": runs}


def test_the_crm_tells_which_content_a_job_saw() -> None:
    assert mutated_argument.check(seen(job("b-odd-mutable-changed/crm", effect=1))) == {"content": "changed"}
    assert mutated_argument.check(seen(job("b-odd-mutable/crm", effect=1))) == {"content": "snapshot"}
    assert mutated_argument.check(seen(job("u1/crm", effect=1))) == {"content": "none"}


def test_the_long_jobs_themselves_are_not_late_short_ones() -> None:
    events = job("b-odd-long0/crm", submit=0, accepted=1, effect=9 * S)
    late = [
        *job("u1/crm", submit=0, accepted=1, effect=9 * S),
        *job("u2/crm", submit=0, accepted=1, effect=S),
    ]
    due = [{"event": "due", "t": 0, "scenario": ACCOUNT_SETUP, "request": user} for user in ("u1", "u2")]
    assert long_before_short.check(seen([*events, *late, *due])) == {"late_short": 1}


def test_refusals_count_from_the_moment_at_which_the_broker_is_full() -> None:
    events = job("a/crm", refused=0) + job("b/crm", refused=2 * S) + job("c/crm", refused=9 * S)
    assert broker_full.check(seen(events, full_ns=S, room_ns=3 * S)) == {"refused_when_full": 1}


def test_the_median_response_is_told_from_due_to_effect() -> None:
    events = [
        event
        for n in range(1, 12)
        for service in ("crm", "fulfillment")
        for event in job(f"u{n}/{service}", submit=0, accepted=1, effect=n * 100 * MS)
    ]
    due = [{"event": "due", "t": 0, "scenario": ACCOUNT_SETUP, "request": f"u{n}"} for n in range(1, 12)]
    assert slow_broker.check(seen([*events, *due]))["response_p50_ms"] == 600
