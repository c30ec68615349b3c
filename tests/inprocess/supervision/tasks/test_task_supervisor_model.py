"""The TaskSupervisor against a model: no child is lost, and each is restarted as often as it must be."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
)

from inprocess import Backoff, Child, Refused, Restart, RestartIntensity, TaskSupervisor
from inprocess.supervision.tasks.child_options import RESTARTS_IN_A_ROW
from inprocess.testing import FakeClock, settle

SHARED = RestartIntensity(4, 6.0)
OWN = RestartIntensity(2, 10.0)
BACKOFF_S = 1.5
MAX_CHILDREN = 5


@dataclass(eq=False)
class Modelled:
    """What the model knows of one child."""

    restart: Restart
    own: bool
    backs_off: bool
    attempts: int = 1
    in_a_row: int = 0
    runs_at: float = 0.0
    alive: bool = True
    own_restarts: list[float] = field(default_factory=list)
    child: Child | None = None
    outcome: asyncio.Future[None] | None = None
    begun: int = 0

    async def work(self) -> None:
        self.begun += 1
        self.outcome = asyncio.get_running_loop().create_future()
        await self.outcome


class Supervision(RuleBasedStateMachine):
    children: Bundle[Modelled] = Bundle("children")

    def __init__(self) -> None:
        super().__init__()
        logging.disable(logging.CRITICAL)
        self.loop = asyncio.new_event_loop()
        self.clock = FakeClock(0.0)
        self.shared_restarts: list[float] = []
        self.alive: list[Modelled] = []
        self.given_up = False
        self.hooks = 0
        self.supervisor = self.loop.run_until_complete(self.make())

    async def make(self) -> TaskSupervisor:
        return TaskSupervisor.start(
            clock=self.clock,
            max_children=MAX_CHILDREN,
            max_restarts=SHARED.max_restarts,
            max_seconds=SHARED.max_seconds,
        )

    @rule(
        target=children,
        restart=st.sampled_from(["permanent", "transient", "temporary"]),
        own=st.booleans(),
        backs_off=st.booleans(),
    )
    def start(self, restart: Restart, *, own: bool, backs_off: bool) -> Modelled | MultipleResults[Modelled]:
        modelled = Modelled(restart, own, backs_off, runs_at=self.clock.now)
        child = self.loop.run_until_complete(self.started(modelled))
        if self.given_up or len(self.alive) >= MAX_CHILDREN:
            assert isinstance(child, Refused)
            assert child.reason == ("not_running" if self.given_up else "max_children")
            return multiple()
        assert isinstance(child, Child)
        modelled.child = child
        self.alive.append(modelled)
        self.settle()
        return modelled

    async def started(self, modelled: Modelled) -> Child | Refused:
        backoff = Backoff(initial_s=BACKOFF_S, factor=1.0, max_s=BACKOFF_S, jitter=0.0)
        return self.supervisor.start_child(
            modelled.work,
            restart=modelled.restart,
            intensity=OWN if modelled.own else None,
            backoff=backoff if modelled.backs_off else None,
            on_give_up=self.count_hook if modelled.own else None,
        )

    @rule(modelled=children)
    def crash(self, modelled: Modelled) -> None:
        self.end_attempt(modelled, ValueError("crash"))

    @rule(modelled=children)
    def finish(self, modelled: Modelled) -> None:
        self.end_attempt(modelled, None)

    @rule(modelled=consumes(children))
    def terminate(self, modelled: Modelled) -> None:
        assert modelled.child is not None
        found = self.loop.run_until_complete(self.supervisor.terminate_child(modelled.child))
        assert found == modelled.alive
        self.forget(modelled)

    @rule(seconds=st.sampled_from([0.5, 1.0, 1.5, 4.0, 6.0]))
    def advance(self, seconds: float) -> None:
        self.loop.run_until_complete(self.clock.advance(seconds))

    @invariant()
    def the_children_are_those_of_the_model(self) -> None:
        assert self.supervisor.children() == [modelled.child for modelled in self.alive]
        assert (self.supervisor.exit is not None) == self.given_up

    @invariant()
    def every_child_has_run_as_often_as_the_model_says(self) -> None:
        for modelled in self.alive:
            assert modelled.child is not None
            waiting = self.clock.now < modelled.runs_at
            assert modelled.child.attempt == modelled.attempts
            assert modelled.begun == modelled.attempts - waiting
            assert modelled.child.state == ("backing off" if waiting else "running")

    def teardown(self) -> None:
        self.loop.run_until_complete(self.supervisor.stop())
        assert self.supervisor.children() == []
        assert self.clock.pending == 0
        assert asyncio.all_tasks(self.loop) == set()
        self.loop.close()
        logging.disable(logging.NOTSET)

    def end_attempt(self, modelled: Modelled, error: Exception | None) -> None:
        if not modelled.alive or self.clock.now < modelled.runs_at:
            return
        assert modelled.outcome is not None
        hooks = self.hooks
        if error is None:
            modelled.outcome.set_result(None)
        else:
            modelled.outcome.set_exception(error)
        self.settle()
        gave_up = self.model_exit(modelled, crashed=error is not None)
        assert self.hooks - hooks == gave_up

    def model_exit(self, modelled: Modelled, *, crashed: bool) -> bool:
        """Move the model on; say whether the child was given up by its own window."""
        if modelled.restart == "temporary" or (modelled.restart == "transient" and not crashed):
            self.forget(modelled)
            return False
        now, limits = self.clock.now, OWN if modelled.own else SHARED
        if modelled.backs_off and not modelled.own:
            modelled.in_a_row = 1 if now - modelled.runs_at > BACKOFF_S else modelled.in_a_row + 1
            allowed = modelled.in_a_row <= RESTARTS_IN_A_ROW
        else:
            restarts = modelled.own_restarts if modelled.own else self.shared_restarts
            restarts.append(now)
            recent = sum(restart >= now - limits.max_seconds for restart in restarts)
            allowed = recent <= limits.max_restarts
        if allowed:
            modelled.attempts += 1
            modelled.runs_at = now + BACKOFF_S * modelled.backs_off
        elif modelled.own or modelled.backs_off:
            self.forget(modelled)
        else:
            self.given_up = True
            for other in list(self.alive):
                self.forget(other)
        return modelled.own and not modelled.alive

    def forget(self, modelled: Modelled) -> None:
        modelled.alive = False
        if modelled in self.alive:
            self.alive.remove(modelled)

    def count_hook(self, _child: Child, _error: BaseException | None) -> None:
        self.hooks += 1

    def settle(self) -> None:
        self.loop.run_until_complete(settle())


TestSupervision = Supervision.TestCase
TestSupervision.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
