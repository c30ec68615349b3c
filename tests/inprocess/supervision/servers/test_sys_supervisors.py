"""`sys` on supervisors: looked at, held back, and let go on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from inprocess import (
    Backoff,
    Child,
    ChildSpec,
    DynamicSupervisor,
    GenServer,
    Process,
    Registry,
    ServerDiedError,
    Supervisor,
    TaskSupervisor,
    snapshot,
    sys,
    whereis,
)
from inprocess.testing import FakeClock, settle


class Item(GenServer):
    def handle_cast(self, message: Any, /) -> None:
        raise message


SPEC = ChildSpec("item", lambda: Item.start(name="item"))


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def within() -> None:
        async with asyncio.timeout(30):
            await test()

    asyncio.run(within())


def test_a_suspended_supervisor_restarts_nothing_and_answers_nobody_until_it_is_resumed() -> None:
    async def test() -> None:
        async with Supervisor.start([SPEC], name="app") as app:
            await sys.suspend(app)
            item = whereis("item", Item)
            assert item is not None
            item.cast(ValueError("oh"))
            starting = asyncio.ensure_future(app.start_child(ChildSpec("second", Item.start)))
            await settle()
            assert (whereis("item"), starting.done(), app.restarts) == (None, False, 0)
            status = await sys.get_status(app)
            assert (status.status, status.mailbox_depth, status.kind) == ("suspended", 2, "Supervisor")
            assert snapshot(app).roots[0].state == "suspended"
            await sys.resume(app)
            await starting
            assert whereis("item", Item) not in {None, item}
            assert (app.restarts, (await sys.get_status(app)).status) == (1, "running")

    run(test)


@pytest.mark.parametrize(
    "start", [partial(Supervisor.start, [SPEC]), DynamicSupervisor.start, TaskSupervisor.start]
)
def test_a_suspended_supervisor_still_ends(start: Callable[[], Process]) -> None:
    async def test() -> None:
        async with start() as supervisor:
            await sys.suspend(supervisor)
        assert str(supervisor.exit) == "shutdown"
        with pytest.raises(ServerDiedError, match="is not running"):
            await sys.resume(supervisor)

    run(test)


def test_a_suspended_dynamic_supervisor_starts_restarts_and_ends_no_child() -> None:
    async def test() -> None:
        async with DynamicSupervisor.start() as items:
            item, other = await items.start_child(SPEC), await items.start_child(Item)
            assert isinstance(item, Item)
            assert isinstance(other, Item)
            await sys.suspend(items)
            item.cast(ValueError("oh"))
            starting = asyncio.ensure_future(items.start_child(Item))
            ending = asyncio.ensure_future(items.terminate_child(other))
            await settle()
            assert (whereis("item"), starting.done(), ending.done(), items.restarts) == (
                None,
                False,
                False,
                0,
            )
            assert (await sys.get_status(items)).mailbox_depth == 3
            await sys.resume(items)
            await asyncio.gather(starting, ending)
            assert whereis("item", Item) not in {None, item}
            assert (items.restarts, items.count, other.exit is None) == (1, 2, False)

    run(test)


def test_what_waits_for_a_suspended_dynamic_supervisor_fails_at_its_end() -> None:
    async def test() -> None:
        items = DynamicSupervisor.start()
        await sys.suspend(items)
        starting = asyncio.ensure_future(items.start_child(Item))
        await settle()
        await items.stop()
        with pytest.raises(ServerDiedError):
            await starting

    run(test)


def test_a_suspended_task_supervisor_lets_children_and_restarts_wait() -> None:
    async def test() -> None:
        clock, done = FakeClock(), list[str]()

        async def once(name: str) -> None:
            done.append(name)
            if done.count(name) == 1 and name != "plain":
                raise ValueError(name)

        async with TaskSupervisor.start(clock=clock) as tasks:
            backoff = Backoff(initial_s=5.0, jitter=0.0)
            late = tasks.start_child(once, "late", restart="transient", backoff=backoff)
            await settle()
            await sys.suspend(tasks)
            soon = tasks.start_child(once, "soon", restart="transient")
            plain = tasks.start_child(once, "plain")
            await clock.advance(10.0)
            assert isinstance(soon, Child)
            assert isinstance(late, Child)
            assert isinstance(plain, Child)
            assert (done, soon.state, late.state) == (["late"], "waiting", "waiting")
            status = await sys.get_status(tasks)
            assert (status.status, status.mailbox_depth) == ("suspended", 2)
            await sys.resume(tasks)
            await asyncio.gather(late.wait(), soon.wait(), plain.wait())
            assert sorted(done) == ["late", "late", "plain", "soon", "soon"]

    run(test)


def test_a_child_that_is_held_back_can_be_ended() -> None:
    async def test() -> None:
        async with TaskSupervisor.start() as tasks:
            await sys.suspend(tasks)
            child = tasks.start_child(asyncio.sleep, 3600)
            assert isinstance(child, Child)
            await tasks.terminate_child(child)
            await sys.resume(tasks)
            await settle()
            assert (str(child.exit), tasks.count) == ("shutdown", 0)

    run(test)


def test_the_state_of_a_supervisor_is_its_options_and_its_children() -> None:
    async def test() -> None:
        children = [SPEC, ChildSpec("tasks", TaskSupervisor.start)]
        async with (
            Supervisor.start(children, strategy="rest_for_one", max_restarts=7) as app,
            DynamicSupervisor.start(max_children=9) as items,
            TaskSupervisor.start() as tasks,
        ):
            state = await sys.get_state(app)
            assert (state["strategy"], state["max_restarts"], state["auto_shutdown"]) == (
                "rest_for_one",
                7,
                "never",
            )
            assert state["children"] == {"item": "running", "tasks": "running"}
            await items.start_child(Item)
            state = await sys.get_state(items)
            assert (state["max_children"], state["active"], state["workers"]) == (9, 1, 1)
            assert (await sys.get_state(tasks))["started"] == 0
            assert "rest_for_one" in (await sys.get_status(app)).state
            assert await asyncio.to_thread(sys.from_thread, sys.get_state, app) == await sys.get_state(app)

    run(test)


def test_what_only_a_server_has_is_refused_for_a_supervisor_and_all_of_it_for_a_registry() -> None:
    async def test() -> None:
        async with Supervisor.start() as app, Registry.start("unique", name="rooms") as registry:
            asks: tuple[Any, ...] = (sys.log, sys.statistics, sys.trace)
            for ask in asks:
                with pytest.raises(TypeError, match="no GenServer"):
                    await ask(app)
            with pytest.raises(TypeError, match="no GenServer"):
                await sys.replace_state(app, dict)  # type: ignore[arg-type]  # that is the case
            for look in (sys.get_state, sys.get_status, sys.suspend):
                with pytest.raises(TypeError, match="rooms is a Registry"):
                    await look(registry)

    run(test)
