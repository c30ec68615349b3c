"""A user's subclass of a supervisor or a periodic server: a name that the runtime uses is refused."""

from __future__ import annotations

import asyncio
import logging
import types
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from inprocess import (
    Child,
    ChildSpec,
    DynamicSupervisor,
    FixedDelay,
    GenServer,
    PartitionSupervisor,
    Periodic,
    Supervisor,
    TaskSupervisor,
    drain,
    snapshot,
    whereis,
)
from inprocess.supervision.core.process import BaseProcess, Ending
from inprocess.testing import FakeClock, settle


class Counter(GenServer):
    """A child."""

    def handle_cast(self, message: Any, /) -> None:
        raise message


async def quick() -> None:
    await asyncio.sleep(0)


async def _task_supervisor(start: Callable[..., Any], keep: Callable[[Any], None]) -> None:
    async with start(name="own") as tasks:
        keep(tasks)
        attempts: list[int] = []

        def fails_once() -> None:
            attempts.append(1)
            if len(attempts) == 1:
                raise ValueError("once")

        child = tasks.start_child(fails_once, restart="transient")
        assert isinstance(child, Child)
        assert str(await child.wait()) == "normal"
        assert await tasks.async_(pow, 2, 3) == 8
        waits = tasks.start_child(asyncio.sleep, 60)
        assert await tasks.terminate_child(waits)
        tasks.start_child(quick)
        assert (await drain(tasks, grace_s=5)).cut_off == ()


async def _supervisor(start: Callable[..., Any], keep: Callable[[Any], None]) -> None:
    spec = ChildSpec("one", lambda: Counter.start(name="one"))
    async with start([spec], name="own") as supervisor:
        keep(supervisor)
        await _restarted()
        await supervisor.start_child(ChildSpec("two", Counter.start))
        await supervisor.terminate_child("two")
        await supervisor.restart_child("two")
        assert [child_id for child_id, _ in supervisor.which_children()] == ["one", "two"]
        await drain(supervisor, grace_s=5)


async def _dynamic_supervisor(start: Callable[..., Any], keep: Callable[[Any], None]) -> None:
    async with start(name="own") as supervisor:
        keep(supervisor)
        await supervisor.start_child(ChildSpec("one", lambda: Counter.start(name="one")))
        await _restarted()
        two = await supervisor.start_child(ChildSpec("two", Counter.start))
        await supervisor.terminate_child(two)
        await drain(supervisor, grace_s=5)


async def _partition_supervisor(start: Callable[..., Any], keep: Callable[[Any], None]) -> None:
    make = lambda number: Counter.start(name="one" if number == 1 else None)  # noqa: E731 - shorter so
    async with start(make, partitions=2, name="own") as supervisor:
        keep(supervisor)
        await _restarted()
        assert supervisor.via("key") in {process for _, process in supervisor.which_children()}


async def _periodic(start: Callable[..., Any], keep: Callable[[Any], None]) -> None:
    clock = FakeClock()
    ran: list[int] = []
    async with TaskSupervisor.start(clock=clock) as tasks:

        def spawn() -> Any:
            return tasks.start_child(ran.append, 1, isolation="loop")

        async with start(spawn, interval_s=1.0, name="own", clock=clock) as server:
            keep(server)
            for _ in range(3):
                await clock.advance(1.0)
                await settle()
            assert len(ran) >= 2


async def _restarted() -> None:
    """Crash the process `one`, and wait for its successor."""
    before = whereis("one", Counter)
    assert before is not None
    before.cast(ValueError("its fault"))
    while whereis("one") in {None, before}:  # noqa: ASYNC110 - the loop's turns are what brings it about
        await asyncio.sleep(0)
    assert snapshot().roots


LIVES: dict[type[Any], Callable[..., Awaitable[None]]] = {
    TaskSupervisor: _task_supervisor,
    Supervisor: _supervisor,
    DynamicSupervisor: _dynamic_supervisor,
    PartitionSupervisor: _partition_supervisor,
    Periodic: _periodic,
    FixedDelay: _periodic,
}
USED = {base: [name for name in sorted(dir(base)) if not name.startswith("__")] for base in LIVES}


def subclass(base: type[Any], body: dict[str, Any]) -> type[Any]:
    return types.new_class("Own", (base,), exec_body=lambda space: space.update(body, __module__="shop"))


def keeper(name: str) -> Any:
    """A method that assigns to an attribute by this name."""
    space: dict[str, Any] = {}
    exec(f"def keep(self, value=7):\n    other = self\n    self.{name} = value", space)  # noqa: S102 - the name varies
    return space["keep"]


@pytest.mark.parametrize("base", LIVES)
def test_no_method_can_assign_to_a_name_that_the_runtime_uses(base: type[Any]) -> None:
    assert len(USED[base]) > 40
    for name in USED[base]:
        methods: list[Any] = [keeper(name), classmethod(keeper(name))]
        for method in methods:
            with pytest.raises(TypeError, match=f"^Own uses the name '{name}', which is the runtime's own"):
                subclass(base, {"keep": method})


@pytest.mark.parametrize("base", LIVES)
def test_no_class_can_have_a_private_name_of_the_runtime(base: type[Any]) -> None:
    for name in filter(lambda name: name.startswith("_"), USED[base]):
        for value in (7, keeper("anything")):
            with pytest.raises(TypeError, match=f"^Own uses the name '{name}'"):
                subclass(base, {name: value})
        with pytest.raises((TypeError, ValueError), match=name):
            subclass(base, {"__slots__": (name,)})


@pytest.mark.parametrize("base", LIVES)
def test_what_the_author_names_otherwise_is_the_authors(
    base: type[Any], caplog: pytest.LogCaptureFixture
) -> None:
    names = ["_mine", "owner", "_parent_id", "queue_name", "_shop__children"]
    own = subclass(
        base, {"count_of_mine": 7, "_helper": keeper("x")} | {f"keep_{n}": keeper(n) for n in names}
    )
    kept: list[Any] = []

    def keep(process: Any) -> None:
        for name in names:
            getattr(process, f"keep_{name}")()
            assert getattr(process, name) == 7
        kept.append(process)

    async def main() -> None:
        async with asyncio.timeout(30):
            await LIVES[base](own.start, keep)

    with caplog.at_level(logging.CRITICAL + 1, "inprocess"):
        asyncio.run(main())
    assert len(kept) == 1
    assert all(getattr(kept[0], name) == 7 for name in names)


def test_a_public_hook_may_be_overridden_and_other_objects_have_any_name() -> None:
    class Kept(TaskSupervisor):
        def quiet(self) -> None:
            """Goes on."""

        def mark(self, child: Any) -> None:
            child._children = child.parent = self  # of another object

    class Mark:
        _children: Any
        parent: Any

    async def main() -> None:
        async with Kept.start() as tasks:
            mark = Mark()
            tasks.mark(mark)
            assert mark.parent is tasks
            assert tasks.children() == []

    asyncio.run(main())


def test_every_kind_of_process_that_can_be_subclassed_is_tried() -> None:
    def below(cls: type[Any]) -> set[type[Any]]:
        return {cls}.union(*(below(child) for child in cls.__subclasses__()))

    bases = {"BaseProcess", "BaseSupervisor", "OrderedSupervisor", "TimerProcess"}
    others = {
        "MessageLoop",
        "Registry",
        "Leased",
        "Runner",
    }  # the runtime's own, or not made to be subclassed
    ours = {cls for cls in below(BaseProcess) if cls.__module__.startswith("inprocess.supervision")}
    assert issubclass(BaseProcess, Ending)
    assert {cls.__name__ for cls in ours if not cls.__name__.startswith("_")} - bases - others == {
        cls.__name__ for cls in LIVES
    }
