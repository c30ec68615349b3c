"""`max_running=` and `queue=` against a model: who runs, who waits, who is refused, whatever happens."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from inprocess import Backoff, Child, Refused, RestartIntensity, TaskSupervisor
from inprocess.testing import FakeClock, settle

BACKOFF_S = 2.0
OFTEN = RestartIntensity(1000, 1.0)
Kind = Literal["temporary", "at once", "backs off"]


@dataclass(eq=False)
class Modelled:
    kind: Kind
    attempts: int = 0
    begun: int = 0
    child: Child | None = None
    outcomes: list[asyncio.Future[None]] = field(default_factory=list)

    async def work(self) -> None:
        self.begun += 1
        self.outcomes.append(asyncio.get_running_loop().create_future())
        await self.outcomes[-1]


class Bounded(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        logging.disable(logging.CRITICAL)
        self.loop = asyncio.new_event_loop()
        self.clock = FakeClock(0.0)
        self.running: list[Modelled] = []
        self.line: deque[Modelled] = deque()
        self.resting: list[tuple[float, Modelled]] = []
        self.refused = 0
        self.is_quiet = False

    @initialize(max_running=st.integers(1, 3), queue=st.sampled_from([0, 1, 3]))
    def make(self, max_running: int, queue: int) -> None:
        self.max_running, self.bound = max_running, max_running + queue

        async def start() -> TaskSupervisor:
            return TaskSupervisor.start(
                clock=self.clock, max_running=max_running, queue=queue, max_restarts=10_000
            )

        self.supervisor = self.loop.run_until_complete(start())

    @property
    def alive(self) -> list[Modelled]:
        return [*self.running, *self.line, *(one for _, one in self.resting)]

    @rule(kinds=st.lists(st.sampled_from(["temporary", "at once", "backs off"]), min_size=2, max_size=6))
    def start_some(self, kinds: list[Kind]) -> None:
        """In one turn of the loop: what will run next turn must not be refused."""

        async def start() -> list[tuple[Modelled, Child | Refused]]:
            started: list[tuple[Modelled, Child | Refused]] = []
            for kind in kinds:
                one = Modelled(kind)
                backoff = Backoff(initial_s=BACKOFF_S, factor=1.0, max_s=BACKOFF_S, jitter=0.0)
                started.append(
                    (
                        one,
                        self.supervisor.start_child(
                            one.work,
                            restart="temporary" if kind == "temporary" else "transient",
                            intensity=None if kind == "temporary" else OFTEN,
                            backoff=backoff if kind == "backs off" else None,
                        ),
                    )
                )
            return started

        for one, child in self.loop.run_until_complete(start()):
            if self.is_quiet or len(self.alive) >= self.bound:
                assert isinstance(child, Refused)
                assert child.reason == ("draining" if self.is_quiet else "queue_full")
                self.refused += 1
            else:
                assert isinstance(child, Child)
                one.child = child
                self.line.append(one)
        self.settle()

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 2), crashes=st.booleans())
    def end_attempt(self, which: int, *, crashes: bool) -> None:
        one = self.running[which % len(self.running)]
        if crashes:
            one.outcomes[-1].set_exception(ValueError("crash"))
        else:
            one.outcomes[-1].set_result(None)
        if not crashes or one.kind == "temporary":
            self.running.remove(one)
        elif one.kind == "at once":
            one.attempts += 1
        else:
            self.running.remove(one)
            self.resting.append((self.clock.now + BACKOFF_S, one))
        self.settle()

    @precondition(lambda self: self.alive)
    @rule(which=st.integers(0, 8))
    def terminate(self, which: int) -> None:
        one = self.alive[which % len(self.alive)]
        assert one.child is not None
        assert self.loop.run_until_complete(self.supervisor.terminate_child(one.child))
        if one in self.running:
            self.running.remove(one)
        elif one in self.line:
            self.line.remove(one)
        self.resting = [(at, other) for at, other in self.resting if other is not one]
        self.settle()

    @rule(seconds=st.sampled_from([0.5, 1.0, 2.0, 5.0]))
    def advance(self, seconds: float) -> None:
        end = self.clock.now + seconds
        self.loop.run_until_complete(self.clock.advance(seconds))
        while self.resting and self.resting[0][0] <= end:
            self.line.append(self.resting.pop(0)[1])
        self.settle()

    @rule(chance=st.integers(0, 19))
    def drain_begins(self, chance: int) -> None:
        if chance:  # seldom: little happens afterwards
            return

        async def quiet() -> None:
            self.supervisor.quiet()

        self.loop.run_until_complete(quiet())
        self.is_quiet = True

    @invariant()
    def each_is_where_the_model_has_it(self) -> None:
        if not hasattr(self, "supervisor"):
            return
        states = {
            "running": self.running, "waiting": self.line, "backing off": [one for _, one in self.resting]
        }  # fmt: skip
        for state, members in states.items():
            assert [one.child.state for one in members if one.child] == [state] * len(members)
            for one in members:
                assert one.begun == one.attempts
        assert set(self.supervisor.children()) == {one.child for one in self.alive}
        assert self.supervisor.count == len(self.alive) <= self.bound
        counts = self.supervisor.counts
        assert (counts["waiting"], counts["refused"]) == (len(self.line), self.refused)

    def teardown(self) -> None:
        if hasattr(self, "supervisor"):
            alive = self.alive
            self.loop.run_until_complete(self.supervisor.stop())
            assert [one.begun for one in alive] == [
                one.attempts for one in alive
            ]  # none was started by the stop
            assert self.supervisor.children() == []
            assert self.clock.pending == 0
        assert asyncio.all_tasks(self.loop) == set()
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        logging.disable(logging.NOTSET)

    def settle(self) -> None:
        while self.line and len(self.running) < self.max_running:
            one = self.line.popleft()
            one.attempts += 1
            self.running.append(one)
        self.loop.run_until_complete(settle())


TestBounded = Bounded.TestCase
TestBounded.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)
