"""Random trees of supervisors against a model of the rules in docs/runtime.md: each start, end, give-up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from inprocess.supervision.core.errors import (
    AlreadyPresentError,
    AlreadyStartedError,
    ChildRunningError,
    NoSuchChildError,
    StartError,
)
from inprocess.supervision.core.exits import Exit, Restart, Shutdown, Stop
from inprocess.supervision.core.process import Process
from inprocess.supervision.servers.gen_server import GenServer
from inprocess.supervision.supervisors.child_spec import AutoShutdown, ChildSpec
from inprocess.supervision.supervisors.strategy import Strategy
from inprocess.supervision.supervisors.supervisor import Supervisor
from inprocess.testing import FakeClock, settle

End = Literal["normal", "shutdown", "because", "crash", "killed"]

#: How to end a worker by itself; a kill is no message.
ENDS: dict[End, BaseException] = {
    "normal": Stop(),
    "shutdown": Shutdown(),
    "because": Shutdown("because"),
    "crash": ValueError("crash"),
}


@dataclass(frozen=True)
class Plan:
    """What a child is made from: a worker, or a supervisor of `children`."""

    id: str
    restart: Restart
    significant: bool = False
    is_async: bool = False
    is_supervisor: bool = False
    children: tuple[Plan, ...] = ()
    strategy: Strategy = "one_for_one"
    max_restarts: int = 3
    auto_shutdown: AutoShutdown = "never"


# The model: plain synchronous code, one recursive function for each rule of docs/runtime.md.


@dataclass(eq=False)
class Node:
    """A running process."""

    plan: Plan
    parent: Slot | None
    slots: list[Slot] = field(default_factory=list)
    past: list[float] = field(default_factory=list)
    gave_up: bool = False


@dataclass(eq=False)
class Slot:
    """A child's place under its supervisor."""

    plan: Plan
    owner: Node
    node: Node | None = None


class Model:
    """What must happen."""

    def __init__(self) -> None:
        self.now = 0.0
        self.lines: list[str] = []
        self.refusing: dict[str, int] = {}
        self.restarts = 0

    def start(self, plan: Plan, slot: Slot | None) -> Node | None:
        if not plan.is_supervisor:
            if self.refusing.get(plan.id, 0) > 0:
                self.refusing[plan.id] -= 1
                return None
            self.lines.append(f"+{plan.id}")
            return Node(plan, slot)
        node = Node(plan, slot)
        node.slots = [Slot(child, node) for child in plan.children]
        for child in node.slots:
            child.node = self.start(child.plan, child)
            if child.node is None:
                self.stop_all(node)
                return None
        return node

    def stop(self, slot: Slot) -> None:
        node, slot.node = slot.node, None
        if node is not None and node.plan.is_supervisor:
            self.stop_all(node)
        elif node is not None:
            self.lines.append(f"-{node.plan.id} shutdown")

    def stop_all(self, node: Node) -> None:
        for slot in reversed(node.slots):
            self.stop(slot)

    def ended(self, slot: Slot, end: End) -> None:
        """A child ended by itself."""
        slot.node = None
        restart = slot.plan.restart
        if restart == "permanent" or (restart == "transient" and end in {"crash", "killed"}):
            self.restart(slot)
            return
        owner = slot.owner
        if restart == "temporary":
            owner.slots.remove(slot)
        rule_ = owner.plan.auto_shutdown
        others = any(other.plan.significant and other.node is not None for other in owner.slots)
        if slot.plan.significant and (
            rule_ == "any_significant" or (rule_ == "all_significant" and not others)
        ):
            self.give_up(owner)

    def restart(self, slot: Slot) -> None:
        owner, failed = slot.owner, slot
        while True:
            owner.past = [past for past in owner.past if past >= self.now - WINDOW_S] + [self.now]
            if len(owner.past) > owner.plan.max_restarts:
                self.give_up(owner)
                return
            self.restarts += 1
            again = self.cycle(owner, failed)
            if again is None:
                return
            failed = again

    def cycle(self, owner: Node, slot: Slot) -> Slot | None:
        all_ = list(owner.slots)
        affected = {
            "one_for_one": [slot],
            "one_for_all": all_,
            "rest_for_one": all_[all_.index(slot) :],
        }[owner.plan.strategy]
        for each in reversed(affected):
            self.stop(each)
            if each.plan.restart == "temporary":
                owner.slots.remove(each)
        for each in affected:
            if each.plan.restart != "temporary":
                each.node = self.start(each.plan, each)
                if each.node is None:
                    return each
        return None

    def give_up(self, owner: Node) -> None:
        self.stop_all(owner)
        owner.gave_up = True
        if owner.parent is not None:
            self.ended(owner.parent, "shutdown")


WINDOW_S = 5.0


# The real thing.


class Worker(GenServer):
    """Notes its start and its end."""

    def init(self, machine: Trees, plan: Plan) -> object:
        self.machine, self.plan = machine, plan
        if plan.is_async:
            return self.init_later()
        self.note_start()
        return None

    async def init_later(self) -> None:
        await asyncio.sleep(0)
        self.note_start()

    def note_start(self) -> None:
        refusing = self.machine.refusing
        if refusing.get(self.plan.id, 0) > 0:
            refusing[self.plan.id] -= 1
            raise RuntimeError(f"{self.plan.id} refuses")
        self.machine.lines.append(f"+{self.plan.id}")

    def handle_cast(self, message: BaseException, /) -> None:
        raise message

    def terminate(self, ended: Exit, /) -> None:
        self.machine.lines.append(f"-{self.plan.id} {ended}".split(":")[0].split("(")[0])


def walk(node: Node) -> Iterator[Slot]:
    for slot in node.slots:
        yield slot
        if slot.node is not None:
            yield from walk(slot.node)


restarts: st.SearchStrategy[Restart] = st.sampled_from(["permanent", "transient", "temporary"])
strategies: st.SearchStrategy[Strategy] = st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"])


@st.composite
def plans(draw: st.DrawFn, prefix: str, depth: int) -> Plan:
    """A supervisor with up to three children; significance only where it is allowed."""
    auto: AutoShutdown = draw(st.sampled_from(["never", "any_significant", "all_significant"]))
    children = []
    for k in range(draw(st.integers(2, 4))):
        name = f"{prefix}{k}"
        child: Plan
        if depth > 0 and draw(st.booleans()):
            child = draw(plans(f"{name}.", depth - 1))
        else:
            child = Plan(name, draw(restarts), is_async=draw(st.booleans()))
        significant = auto != "never" and child.restart != "permanent" and draw(st.booleans())
        children.append(Plan(**{**vars(child), "id": name, "significant": significant}))
    return Plan(
        prefix,
        draw(restarts),
        is_supervisor=True,
        children=tuple(children),
        strategy=draw(strategies),
        max_restarts=draw(st.sampled_from([2, 1, 4, 0])),
        auto_shutdown=auto,
    )


class Trees(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        logging.disable(logging.CRITICAL)
        self.loop = asyncio.new_event_loop()
        self.clock = FakeClock(0.0)
        self.model = Model()
        self.lines: list[str] = []
        self.refusing: dict[str, int] = {}

    @initialize(plan=plans("r", 2))
    def start(self, plan: Plan) -> None:
        self.refusing.clear()
        self.model.refusing.clear()
        self.tree = self.loop.run_until_complete(self.make(plan))
        root = self.model.start(plan, None)
        assert root is not None
        self.root = root

    async def make(self, plan: Plan) -> Supervisor:
        tree = self.start_supervisor(plan)
        await tree.ready()
        return tree

    def start_supervisor(self, plan: Plan) -> Supervisor:
        return Supervisor.start(
            [self.spec(child) for child in plan.children],
            strategy=plan.strategy,
            max_restarts=plan.max_restarts,
            max_seconds=WINDOW_S,
            auto_shutdown=plan.auto_shutdown,
            clock=self.clock,
        )

    def spec(self, plan: Plan) -> ChildSpec:
        start = (
            partial(self.start_supervisor, plan) if plan.is_supervisor else partial(Worker.start, self, plan)
        )
        return ChildSpec(plan.id, start, plan.restart, significant=plan.significant)

    @rule(
        data=st.data(), end=st.sampled_from(["crash", *ENDS, "crash", "killed"]), refusals=st.integers(0, 2)
    )
    def a_child_ends(self, data: st.DataObject, end: End, refusals: int) -> None:
        if self.root.gave_up:
            self.start(self.root.plan)
        slots = [slot for slot in walk(self.root) if slot.node is not None]
        if end != "killed":  # a supervisor ends by itself only where it is killed
            slots = [slot for slot in slots if not slot.plan.is_supervisor]
        if not slots:
            return
        slot = data.draw(st.sampled_from(slots))
        refused = data.draw(st.sampled_from([slot, *slots])).plan
        if not refused.is_supervisor:
            self.refusing[refused.id] = self.model.refusing[refused.id] = refusals
        process = self.process(slot)
        if end == "killed":
            process.kill()
            self.settle()
        else:
            assert isinstance(process, GenServer)
            process.cast(ENDS[end])
            self.settle()
            self.model.lines.append(f"-{slot.plan.id} {'ValueError' if end == 'crash' else end}")
            self.model.lines[-1] = self.model.lines[-1].replace("because", "shutdown")
        self.model.ended(slot, end)

    @rule(seconds=st.sampled_from([5.0, 1.0, 5.5]))
    def time_goes_by(self, seconds: float) -> None:
        self.clock.jump(seconds)
        self.model.now += seconds

    @rule(data=st.data(), action=st.sampled_from(["terminate", "restart", "delete", "start"]))
    def somebody_asks(self, data: st.DataObject, action: str) -> None:
        if self.root.gave_up:
            self.start(self.root.plan)
        owners = [
            self.root,
            *(slot.node for slot in walk(self.root) if slot.node and slot.node.plan.is_supervisor),
        ]
        owner = data.draw(st.sampled_from(owners))
        child_id = data.draw(st.sampled_from([f"{owner.plan.id}x", *(slot.plan.id for slot in owner.slots)]))
        slot = next((slot for slot in owner.slots if slot.plan.id == child_id), None)
        plan = Plan(child_id, data.draw(restarts), is_async=data.draw(st.booleans()))
        expected = self.expect(action, owner, slot, plan)
        assert self.loop.run_until_complete(self.ask(action, owner, plan)) is expected

    def expect(self, action: str, owner: Node, slot: Slot | None, plan: Plan) -> type[Exception] | None:
        """Do it in the model; return the error that it must give."""
        if action == "start":
            if slot is not None:
                return AlreadyPresentError if slot.node is None else AlreadyStartedError
            slot = Slot(plan, owner)
            slot.node = self.model.start(plan, slot)
            if slot.node is None:
                return StartError
            owner.slots.append(slot)
        elif slot is None:
            return NoSuchChildError
        elif action == "terminate":
            self.model.stop(slot)
            if slot.plan.restart == "temporary":
                owner.slots.remove(slot)
        elif slot.node is not None:
            return ChildRunningError
        elif action == "delete":
            owner.slots.remove(slot)
        else:
            slot.node = self.model.start(slot.plan, slot)
            return StartError if slot.node is None else None
        return None

    async def ask(self, action: str, owner: Node, plan: Plan) -> type[Exception] | None:
        supervisor = self.tree if owner is self.root else self.process(owner.parent)
        assert isinstance(supervisor, Supervisor)
        asked: dict[str, Callable[[], Awaitable[object]]] = {
            "start": lambda: supervisor.start_child(self.spec(plan)),
            "terminate": lambda: supervisor.terminate_child(plan.id),
            "restart": lambda: supervisor.restart_child(plan.id),
            "delete": lambda: supervisor.delete_child(plan.id),
        }
        try:
            await asked[action]()
        except Exception as error:  # noqa: BLE001 - the model says which
            return type(error)
        return None

    @invariant()
    def all_that_happened_is_what_the_model_says(self) -> None:
        if hasattr(self, "root"):
            assert self.lines == self.model.lines
            assert (self.tree.exit is not None) == self.root.gave_up
            assert self.root.gave_up or self.shape(self.tree) == self.modelled(self.root)

    def shape(self, supervisor: Supervisor) -> list[object]:
        return [
            (child_id, self.shape(process) if isinstance(process, Supervisor) else process is not None)
            for child_id, process in supervisor.which_children()
        ]

    def modelled(self, node: Node) -> list[object]:
        return [
            (
                slot.plan.id,
                self.modelled(slot.node) if slot.node and slot.plan.is_supervisor else slot.node is not None,
            )
            for slot in node.slots
        ]

    def process(self, slot: Slot | None) -> Process:
        assert slot is not None
        owner = self.tree if slot.owner is self.root else self.process(slot.owner.parent)
        assert isinstance(owner, Supervisor)
        process = dict(owner.which_children())[slot.plan.id]
        assert isinstance(process, Process)
        return process

    def settle(self) -> None:
        self.loop.run_until_complete(settle(200))
        while self.loop._ready:  # type: ignore[attr-defined]  # a big tree on a busy machine takes more turns
            self.loop.run_until_complete(settle(200))

    def teardown(self) -> None:
        if hasattr(self, "root"):
            self.loop.run_until_complete(self.tree.stop())
            self.model.stop_all(self.root)
            assert self.lines == self.model.lines
            assert self.clock.pending == 0
        assert asyncio.all_tasks(self.loop) == set()
        self.loop.close()
        logging.disable(logging.NOTSET)


TestTrees = Trees.TestCase
TestTrees.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
