"""Cancellation at every await of start, restart and shutdown leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from inprocess.supervision.core.exits import Exit
from inprocess.supervision.core.names import whereis
from inprocess.supervision.servers.gen_server import GenServer
from inprocess.supervision.supervisors.base import BaseSupervisor
from inprocess.supervision.supervisors.child_spec import ChildSpec
from inprocess.supervision.supervisors.dynamic_supervisor import DynamicSupervisor
from inprocess.supervision.supervisors.supervisor import Supervisor
from inprocess.testing import FakeClock, settle

#: More turns of the loop than any of these actions takes.
TURNS = 200


class Slow(GenServer):
    """Takes some turns of the loop to start and to end."""

    async def init(self, servers: list[Slow]) -> None:
        servers.append(self)
        for _ in range(3):
            await asyncio.sleep(0)

    def handle_cast(self, message: BaseException, /) -> None:
        raise message

    async def terminate(self, _ended: Exit, /) -> None:
        for _ in range(3):
            await asyncio.sleep(0)


class Tree:
    """A tree of slow servers on a clock that stands still: nothing here ends by a time limit."""

    def __init__(self) -> None:
        self.servers: list[Slow] = []
        self.clock = FakeClock()

    def spec(self, child_id: str) -> ChildSpec:
        return ChildSpec(child_id, partial(Slow.start, self.servers, name=child_id, clock=self.clock))

    def inner(self) -> ChildSpec:
        return ChildSpec(
            "inner", lambda: Supervisor.start([self.spec("c"), self.spec("d")], clock=self.clock)
        )

    def supervisor(self) -> Supervisor:
        specs = [self.spec("a"), self.inner(), self.spec("b")]
        return Supervisor.start(specs, strategy="one_for_all", max_restarts=1000, clock=self.clock)


async def cancelled_after(turns: int, action: Awaitable[Any]) -> bool:
    """Cancel the action after so many turns of the loop; say whether it was under way still."""
    task = asyncio.ensure_future(action)
    for _ in range(turns):
        await asyncio.sleep(0)
    was_running = not task.done()
    task.cancel()
    await asyncio.wait([task])
    if was_running and task.done() and not task.cancelled():
        task.result()
    return was_running


def at_every_await(test: Callable[[Tree, int], Awaitable[bool]]) -> None:
    """Run it with the cancellation ever one turn later, until it comes too late."""
    for turns in range(TURNS):

        async def main(turns: int = turns) -> bool:
            tree = Tree()
            was_running = await test(tree, turns)
            await settle()
            left = asyncio.all_tasks() - {asyncio.current_task()}
            alive = [server for server in tree.servers if server.exit is None]
            assert (turns, alive, tree.clock.pending, left) == (turns, [], 0, set())
            assert [name for name in "abcdx" if whereis(name)] == []
            return was_running

        if not asyncio.run(main()):
            assert turns > 1
            return
    pytest.fail(f"still under way after {TURNS} turns")


def test_a_start_that_is_cancelled_stops_what_it_started() -> None:
    async def test(tree: Tree, turns: int) -> bool:
        async def enter() -> None:
            async with tree.supervisor():
                pass

        return await cancelled_after(turns, enter())

    at_every_await(test)


def test_a_stop_that_is_cancelled_kills_what_it_had_not_stopped() -> None:
    async def test(tree: Tree, turns: int) -> bool:
        supervisor = tree.supervisor()
        await supervisor.ready()
        was_running = await cancelled_after(turns, supervisor.stop())
        await settle()
        assert (supervisor.exit is None) == (turns == 0 and was_running)  # cancelled before its first line
        await supervisor.stop()
        return was_running

    at_every_await(test)


@pytest.mark.parametrize("ending", ["stop", "kill"])
def test_a_supervisor_that_is_ended_in_the_midst_of_a_restart_leaves_nothing(ending: str) -> None:
    async def test(tree: Tree, turns: int) -> bool:
        supervisor = tree.supervisor()
        await supervisor.ready()
        crashed = whereis("a")
        assert isinstance(crashed, Slow)
        crashed.cast(ValueError())
        for _ in range(turns):
            await asyncio.sleep(0)
        is_back = supervisor.restarts == 1 and supervisor._task is None and whereis("b") is not None
        if ending == "stop":
            await supervisor.stop()
        else:
            supervisor.kill()
            await supervisor.wait()
        await settle()
        return not is_back

    at_every_await(test)


def test_a_supervisor_whose_own_task_somebody_cancels_is_killed_with_all_its_children() -> None:
    async def test(tree: Tree, turns: int) -> bool:
        supervisor = tree.supervisor()
        await supervisor.ready()
        crashed = whereis("a")
        assert isinstance(crashed, Slow)
        crashed.cast(ValueError())
        for _ in range(turns):
            await asyncio.sleep(0)
        task = supervisor._task
        if task is not None and task.cancel():
            assert str(await supervisor.wait()) == "killed"
        else:
            is_back = supervisor.restarts == 1 and whereis("b") is not None
            await supervisor.stop()
        await settle()
        return task is not None or not is_back

    at_every_await(test)


@pytest.mark.parametrize("action", ["start_child", "restart_child"])
def test_a_start_by_hand_that_is_cancelled_is_undone(action: str) -> None:
    async def test(tree: Tree, turns: int) -> bool:
        async with Supervisor.start([tree.spec("a")], clock=tree.clock) as supervisor:
            if action == "start_child":
                was_running = await cancelled_after(turns, supervisor.start_child(tree.spec("x")))
            else:
                await supervisor.start_child(tree.spec("x"))
                await supervisor.terminate_child("x")
                was_running = await cancelled_after(turns, supervisor.restart_child("x"))
            await settle()
            assert (whereis("x") is None) == was_running
            kept = action == "restart_child" or not was_running
            assert [child_id for child_id, _ in supervisor.which_children()] == ["a"] + ["x"] * kept
            assert supervisor.exit is None
        return was_running

    at_every_await(test)


def test_a_terminate_by_hand_whose_caller_is_cancelled_goes_on() -> None:
    async def test(tree: Tree, turns: int) -> bool:
        async with Supervisor.start([tree.spec("x")], clock=tree.clock) as supervisor:
            was_running = await cancelled_after(turns, supervisor.terminate_child("x"))
            await settle()
            assert supervisor.exit is None
            assert (supervisor.which_children() == [("x", None)]) == (turns > 1)  # else never asked
        return was_running

    at_every_await(test)


def test_a_dynamic_start_that_is_cancelled_is_undone() -> None:
    async def test(tree: Tree, turns: int) -> bool:
        async with DynamicSupervisor.start(clock=tree.clock) as supervisor:
            was_running = await cancelled_after(turns, supervisor.start_child(tree.spec("x")))
            await settle()
            assert (whereis("x") is None, supervisor.count) == ((True, 0) if was_running else (False, 1))
        return was_running

    at_every_await(test)


@pytest.mark.parametrize("ending", ["stop", "kill"])
@pytest.mark.parametrize("phase", ["start", "restart"])
def test_a_dynamic_supervisor_that_is_ended_at_any_moment_leaves_nothing(phase: str, ending: str) -> None:
    async def test(tree: Tree, turns: int) -> bool:
        supervisor: BaseSupervisor = DynamicSupervisor.start(clock=tree.clock)
        assert isinstance(supervisor, DynamicSupervisor)
        if phase == "restart":
            process = await supervisor.start_child(tree.spec("x"))
            assert isinstance(process, Slow)
            process.cast(ValueError())
            asked = None
        else:
            asked = asyncio.ensure_future(supervisor.start_child(tree.inner()))
        for _ in range(turns):
            await asyncio.sleep(0)
        busy = supervisor.restarts == 0 or bool(supervisor._starting) if asked is None else not asked.done()
        if ending == "stop":
            await supervisor.stop()
        else:
            supervisor.kill()
            await supervisor.wait()
        if asked is not None:
            await asyncio.wait([asked])
            assert asked.cancelled() or asked.exception() is None or busy
        await settle()
        return busy

    at_every_await(test)
