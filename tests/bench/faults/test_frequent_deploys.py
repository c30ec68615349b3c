from __future__ import annotations

from typing import Any

from bench.faults import FAULTS
from bench.faults.processes import frequent_deploys
from bench.faults.spec import CheckInput
from scenarios.jobs import ACCOUNT_SYNC, sync

S = 1_000_000_000


def row(runs: dict[str, list[float]], *, passed_by: int = 0) -> dict[str, Any]:
    """What the checker finds where the ticks are due at 6, 12, … 36 s, and the strike lasts from 3 to 39."""
    events = [
        {"event": "start", "scenario": ACCOUNT_SYNC, "job": sync(owner), "t": int(at * S)}
        for owner, own in runs.items()
        for at in own
    ]
    facts = {"passed_by": passed_by, **{f"{owner}_ns": 12 * S for owner in runs}}
    block = CheckInput(
        events=events,
        facts=facts,
        start_ns=0,
        on_ns=3 * S,
        off_ns=39 * S,
        drained_ns=40 * S,
        owners=list(runs),
    )
    return dict(frequent_deploys.check(block))


def holds(found: dict[str, Any]) -> bool:
    return FAULTS[46].expected["inprocess"].holds(found)


def test_each_tick_run_once_on_time_or_late_is_as_expected() -> None:
    found = row({"a": [6, 12.4, 18, 23.98, 30, 36], "b": [11.5, 12.1, 18, 24, 30, 36]})
    assert (found["due"], found["runs"], found["doubled"]) == (6, 6, 0)
    assert holds(found)


def test_a_tick_that_is_run_twice_or_an_owner_that_never_runs_is_not() -> None:
    assert not holds(row({"a": [6, 12, 12.5, 18, 24, 30, 36]}))
    assert not holds(row({"a": [6, 12, 18, 24, 30, 36], "b": []}))


def test_ticks_that_pass_by_whole_while_the_app_is_away_are_no_fault_of_its_state() -> None:
    assert not holds(row({"a": [6, 12, 36]}))
    assert holds(row({"a": [6, 12, 36]}, passed_by=3))
