"""The set of outstanding jobs agrees at each look with a count over the whole block."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bench.measures.events.block import Block
from bench.measures.events.history import histories
from bench.measures.events.outstanding import OutstandingJobs
from bench.measures.faults import failure
from bench.measures.latency import latency
from tests.bench.measures.random_ledgers import Events, event, ledgers

WINDOW = Block(block="b", side="s", start_ns=2 * 10**9, end_ns=8 * 10**9)


def accepted() -> OutstandingJobs:
    return OutstandingJobs(
        counts=lambda job: failure.acceptance(job) == "accepted", has_ended=failure.has_ended
    )


def due_in_window() -> OutstandingJobs:
    return OutstandingJobs(
        counts=lambda job: job.due is not None and WINDOW.holds(job.due),
        has_ended=lambda job: latency.outcome(job) != "unfinished",
    )


def looks(events: Events, cuts: list[int]) -> list[Events]:
    """The events so far at each look: the log only grows."""
    ends = sorted({min(cut, len(events)) for cut in cuts} | {len(events)})
    return [events[:end] for end in ends]


@given(ledgers, st.lists(st.integers(0, 60), max_size=6))
def test_at_each_look_it_says_what_the_classes_of_the_whole_block_say(
    events: Events, cuts: list[int]
) -> None:
    events.sort(key=lambda each: int(each["t"]))
    jobs = accepted()
    for so_far in looks(events, cuts):
        found = [job for job in histories(so_far).values() if failure.acceptance(job) == "accepted"]
        assert jobs.none_left(so_far) == all(failure.has_ended(job) for job in found)
        assert jobs.counted == len(found)


@given(ledgers, st.lists(st.integers(0, 60), max_size=6))
def test_at_each_look_it_says_what_the_table_of_the_window_says(events: Events, cuts: list[int]) -> None:
    events.sort(key=lambda each: int(each["t"]))
    jobs = due_in_window()
    for so_far in looks(events, cuts):
        table = latency.job_frame(so_far, WINDOW)
        assert jobs.none_left(so_far) == bool((table["outcome"] != "unfinished").all())
        assert jobs.counted == len(table)


def test_a_job_that_is_given_up_or_refused_is_not_waited_for() -> None:
    jobs = accepted()
    waiting = [event(0, kind, 1, 201, "") for kind in ("submit", "accepted")]
    assert not jobs.none_left(waiting)
    refused = [event(1, kind, 2, 201, "") for kind in ("submit", "refused")]
    assert not jobs.none_left(waiting + refused)
    assert jobs.none_left([*waiting, *refused, event(0, "failed", 5, 201, "")])


@given(st.lists(st.integers(1, 40), min_size=2, max_size=5))
def test_each_look_reads_the_new_events_alone(sizes: list[int]) -> None:
    class Log(list[Any]):
        """A log that counts what is read of it."""

        read = 0

        def __getitem__(self, place: Any) -> Any:
            found = super().__getitem__(place)
            Log.read += len(found)
            return found

    jobs, log, total = accepted(), Log(), 0
    Log.read = 0
    for before, after in pairwise([0, *sizes]):
        log.extend(event(before % 7, "submit", total + step, 201, "") for step in range(after))
        total += after
        jobs.none_left(log)
        assert Log.read == total
