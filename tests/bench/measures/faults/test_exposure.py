"""Who was exposed to a fault: what was done before it, and what came after it, was not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.measures.faults.exposure import exposure
from bench.measures.faults.failure import judge
from scenarios.jobs import WELCOME_EMAIL
from tests.bench.measures.random_ledgers import Events, ledgers


def job(accepted: int, effect: int | None = None) -> Events:
    fields = {"scenario": WELCOME_EMAIL, "job": "u/email"}
    times = {"submit": accepted, "accepted": accepted} | ({} if effect is None else {"effect": effect})
    return [{"t": at, "event": event, **fields} for event, at in times.items()]


@pytest.mark.parametrize(
    ("accepted", "effect", "exposed", "lost"),
    [
        (5, 9, 0, 0),  # done before the fault
        (5, 10, 1, 0),  # done as it struck: the fault could still reach it
        (5, 12, 1, 0),  # under way when it struck
        (5, None, 1, 1),
        (15, 30, 1, 0),  # taken while it lasted
        (20, None, 1, 1),
        (21, 30, 0, 0),  # taken when it was over
        (21, None, 1, 1),  # and lost all the same
    ],
)
def test_a_job_is_exposed_that_the_fault_could_reach(
    accepted: int, effect: int | None, exposed: int, lost: int
) -> None:
    found = exposure(job(accepted, effect), scenario=WELCOME_EMAIL, from_ns=10, until_ns=20)
    assert (len(found.exposed), len(found.lost)) == (exposed, lost)


@pytest.mark.parametrize(
    ("accepted", "effect", "exposed"),
    [
        (5, 9, 0),  # done before the kill, though not before it was decided on
        (5, 12, 1),  # running when it was made
        (5, None, 1),
        (11, 30, 0),  # handed over after it, and done
        (11, None, 1),  # handed over after it and lost all the same, on a dead worker's connection
    ],
)
def test_a_kill_exposes_what_was_accepted_and_not_done_when_it_was_made(
    accepted: int, effect: int | None, exposed: int
) -> None:
    found = exposure(job(accepted, effect), scenario=WELCOME_EMAIL, from_ns=10, until_ns=10)
    assert len(found.exposed) == exposed


@pytest.mark.parametrize(
    ("asked", "answered", "effect", "unanswered"),
    [
        (5, None, None, 1),
        (5, 6, None, 0),  # its caller was told
        (5, None, 9, 0),  # done before the fault
        (5, None, 12, 1),  # done, but nobody was told
        (21, None, None, 0),  # asked when the fault was over
    ],
)
def test_a_job_is_unanswered_whose_caller_heard_nothing(
    asked: int, answered: int | None, effect: int | None, unanswered: int
) -> None:
    events: Events = [
        {"t": asked, "event": "request", "scenario": WELCOME_EMAIL, "request": "u"},
        *job(asked, effect),
    ]
    if answered is not None:
        answer = {"t": answered, "event": "response", "status": 201}
        events.append({**answer, "scenario": WELCOME_EMAIL, "request": "u"})
    found = exposure(events, scenario=WELCOME_EMAIL, from_ns=10, until_ns=20)
    assert len(found.unanswered) == unanswered
    assert not set(found.unanswered) & set(found.exposed)


@given(ledgers, st.integers(0, 10**10), st.integers(0, 10**10))
def test_the_exposed_are_accepted_jobs_and_a_fault_from_first_to_last_exposes_all(
    events: Events, from_ns: int, until_ns: int
) -> None:
    judged = judge(events, scenario=WELCOME_EMAIL, deadline_ms=1_000)
    accepted = set(judged.acceptance["accepted"])
    some = exposure(events, scenario=WELCOME_EMAIL, from_ns=from_ns, until_ns=until_ns)
    assert set(some.lost) <= set(some.exposed) <= accepted
    whole = exposure(events, scenario=WELCOME_EMAIL, from_ns=0, until_ns=10**10)
    assert set(whole.exposed) == accepted
    assert set(whole.lost) == set(judged.classes["lost"])
