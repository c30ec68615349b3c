"""Every sequence of looks and moves leaves each job in exactly one place, as a model of dictionaries says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from celery_impl.sidekiq.api import DeadSet, Job, JobSet, RetrySet, ScheduledSet
from celery_impl.sidekiq.jobs.entry_format import entry
from celery_impl.sidekiq.redis.sets import DEAD, DEAD_AGE_S, RETRY, SCHEDULE

NAMES = {RETRY: RetrySet, SCHEDULE: ScheduledSet, DEAD: DeadSet}
WAITING = st.sampled_from([RETRY, SCHEDULE])
ANY = st.sampled_from([RETRY, SCHEDULE, DEAD])
#: Waits in seconds: few different ones, so that many jobs have the same score.
WAITS = st.sampled_from([0.0, 1.0, 1.5, 60.0, DEAD_AGE_S / 2])


class SetsMachine(RuleBasedStateMachine):
    """`expected`: job id to its score, for each set; `queue`: ids in the order in which they came."""

    lab: Any
    app: Any

    def __init__(self) -> None:
        super().__init__()
        self.lab.redis.flushall()
        self.now = 1000.0
        self.sent = 0
        self.expected: dict[str, dict[str, float]] = {name: {} for name in NAMES}
        self.queue: list[str] = []
        self.unreadable: dict[str, set[str]] = {RETRY: set(), SCHEDULE: set()}
        self.held: dict[str, list[Job]] = {name: [] for name in NAMES}

    def jobs(self, name: str) -> JobSet:
        return NAMES[name](self.app, clock=lambda: self.now)

    @rule(name=WAITING, wait=WAITS, priority=st.sampled_from(["", "\x06\x163"]))
    def send(self, name: str, wait: float, priority: str) -> None:
        job_id = f"job-{self.sent}"
        self.sent += 1
        properties = {"delivery_tag": job_id, "delivery_info": {"exchange": "", "routing_key": "celery"}}
        headers = {"id": job_id, "task": "t", "retries": 0}
        text = json.dumps({"headers": headers, "properties": properties})
        self.lab.redis.zadd(name, {entry(f"celery{priority}", text): self.now + wait})
        self.expected[name][job_id] = self.now + wait

    @rule(name=WAITING, number=st.integers(0, 5), newer=st.booleans())
    def spoil(self, name: str, number: int, newer: bool) -> None:  # noqa: FBT001 - hypothesis passes by name
        text = f"v9\n{number}" if newer else f"corrupt {number}"
        self.lab.redis.zadd(name, {text: 0.0})
        self.unreadable[name].add(text)

    @rule(wait=WAITS)
    def time_passes(self, wait: float) -> None:
        self.now += wait

    @rule()
    def promote(self) -> None:
        moved = self.lab.sets.promote(now=self.now)
        due = {
            job_id: at
            for name in (SCHEDULE, RETRY)
            for job_id, at in self.expected[name].items()
            if at <= self.now
        }
        for name in (SCHEDULE, RETRY):
            self.expected[name] = {k: at for k, at in self.expected[name].items() if at > self.now}
        self.queue += due
        assert moved == len(due)

    @rule(name=ANY)
    def look(self, name: str) -> None:
        """Remember jobs as a person sees them, who acts on them later."""
        self.held[name] = [job for job in self.jobs(name) if job.problem is None]

    @rule(name=ANY, some=st.slices(6))
    def retry(self, name: str, some: slice) -> None:
        chosen = self.held[name][some]
        there = self.taken(name, chosen)
        assert self.jobs(name).retry(*chosen) == len(there)
        self.queue += there

    @rule(name=WAITING, some=st.slices(6))
    def kill(self, name: str, some: slice) -> None:
        chosen = self.held[name][some]
        there = self.taken(name, chosen)
        assert self.jobs(name).kill(*chosen) == len(there)
        self.bury(there)

    @rule(name=ANY, some=st.slices(6))
    def delete(self, name: str, some: slice) -> None:
        chosen = self.held[name][some]
        there = self.taken(name, chosen)
        assert self.jobs(name).delete(*chosen) == len(there)

    @rule(name=ANY)
    def retry_all(self, name: str) -> None:
        there, self.expected[name] = list(self.expected[name]), {}
        assert self.jobs(name).retry_all() == len(there)
        self.queue += there

    @rule(name=WAITING)
    def kill_all(self, name: str) -> None:
        there, self.expected[name] = list(self.expected[name]), {}
        assert self.jobs(name).kill_all() == len(there)
        self.bury(there)

    @precondition(lambda self: self.sent > 10)
    @rule(name=ANY)
    def clear(self, name: str) -> None:
        there = len(self.expected[name]) + len(self.unreadable.get(name, ()))
        assert self.jobs(name).clear() == there
        self.expected[name] = {}
        self.unreadable[name] = set()

    @invariant()
    def each_set_holds_what_the_model_says_newest_first(self) -> None:
        for name, expected in self.expected.items():
            found = list(self.jobs(name))
            readable = [job for job in found if job.problem is None]
            assert {job.id: job.at for job in readable} == expected
            assert len(readable) == len(expected)
            assert [job.at for job in found] == sorted((job.at or 0.0 for job in found), reverse=True)
            bad = {job.member.decode() for job in found if job.problem}
            assert bad == self.unreadable.get(name, set())
            assert self.jobs(name).size() == len(found)

    @invariant()
    def the_queue_holds_each_job_as_often_as_it_came(self) -> None:
        texts = [text for key in ("celery", "celery\x06\x163") for text in self.lab.redis.lrange(key, 0, -1)]
        assert sorted(json.loads(text)["headers"]["id"] for text in texts) == sorted(self.queue)

    def taken(self, name: str, chosen: list[Job]) -> list[str]:
        """Those of the chosen that the model still has where the person saw them; it has them no more."""
        there = [job.id for job in chosen if self.expected[name].get(job.id) == job.at]
        for job_id in there:
            del self.expected[name][job_id]
        return there

    def bury(self, there: list[str]) -> None:
        """A job that comes to the dead set drives out what is too old there; nothing else does."""
        if there:
            dead = self.expected[DEAD] | dict.fromkeys(there, self.now)
            self.expected[DEAD] = {job_id: at for job_id, at in dead.items() if at > self.now - DEAD_AGE_S}


def test_the_dead_set_drops_what_is_too_old_when_a_job_comes_to_it_and_at_no_other_time(lab: Any) -> None:
    """The sequence by which the model and the product once differed, and what follows it."""
    SetsMachine.lab, SetsMachine.app = lab, lab.sample().app
    moves = SetsMachine()

    def holds(*ids: str) -> None:
        assert [job.id for job in moves.jobs(DEAD)] == list(ids)
        moves.each_set_holds_what_the_model_says_newest_first()

    moves.send(RETRY, 0.0, "")
    moves.look(RETRY)
    moves.kill(RETRY, slice(None))
    for _ in range(3):
        moves.time_passes(DEAD_AGE_S / 2)

    moves.kill(RETRY, slice(0))  # of nothing: nobody is asked for
    holds("job-0")
    moves.kill(RETRY, slice(None))  # of one that is gone: the server is asked, and finds nothing
    holds("job-0")
    moves.kill_all(RETRY)
    holds("job-0")

    moves.send(RETRY, 0.0, "")
    moves.look(RETRY)
    moves.kill(RETRY, slice(None))
    holds("job-1")


@pytest.mark.hypothesis
@pytest.mark.timeout(180)
def test_no_sequence_of_moves_loses_or_doubles_a_job(lab: Any) -> None:
    SetsMachine.lab, SetsMachine.app = lab, lab.sample().app
    checks = [HealthCheck.too_slow]
    run_state_machine_as_test(
        SetsMachine,
        settings=settings(
            max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=checks
        ),
    )
