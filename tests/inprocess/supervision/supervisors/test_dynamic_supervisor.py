from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from inprocess.supervision.core.errors import NoSuchChildError, Refused, ServerDiedError, StartError
from inprocess.supervision.core.exits import Exit, Ignore, Restart, Stop
from inprocess.supervision.core.names import whereis
from inprocess.supervision.servers import sys
from inprocess.supervision.servers.gen_server import GenServer
from inprocess.supervision.supervisors.child_spec import ChildCounts, ChildSpec
from inprocess.supervision.supervisors.dynamic_supervisor import STOPS_PER_STEP, DynamicSupervisor
from inprocess.supervision.supervisors.partition_supervisor import PartitionSupervisor, partition_of
from inprocess.testing import FakeClock, settle


class Item(GenServer):
    """Holds what it was started with."""

    failures = 0

    def init(self, *arguments: Any) -> None:
        if "ignore" in arguments:
            raise Ignore
        if Item.failures > 0:
            Item.failures -= 1
            raise RuntimeError("no start")
        self.arguments = arguments
        self.ended: Exit | None = None

    def handle_cast(self, message: BaseException | Callable[[], Awaitable[None]], /) -> Any:
        if isinstance(message, BaseException):
            raise message
        return message()

    def terminate(self, ended: Exit, /) -> None:
        self.ended = ended


SPEC = ChildSpec("item", Item.start)


def run(test: Callable[[], Awaitable[Any]]) -> None:
    async def main() -> None:
        await test()

    asyncio.run(main())


async def started(supervisor: DynamicSupervisor, *arguments: Any, spec: ChildSpec = SPEC) -> Item:
    process = await supervisor.start_child(spec, *arguments)
    assert isinstance(process, Item)
    return process


def test_a_child_gets_the_extra_arguments_and_then_its_own() -> None:
    async def test() -> None:
        async with DynamicSupervisor.start(extra_arguments=["shared"]) as supervisor:
            item = await started(supervisor, 1, 2)
            assert item.arguments == ("shared", 1, 2)
            assert (item.parent, supervisor.which_children()) == (supervisor, [("item", item)])

    run(test)


def test_past_its_bound_it_returns_an_error_value_and_starts_nothing() -> None:
    async def test() -> None:
        async with DynamicSupervisor.start(max_children=1) as supervisor:
            item = await started(supervisor)
            refused = await supervisor.start_child(SPEC)
            assert isinstance(refused, Refused)
            assert refused.reason == "max_children"
            await supervisor.terminate_child(item)
            await started(supervisor)

    run(test)


@pytest.mark.parametrize(
    ("restart", "how", "comes_back"),
    [
        ("permanent", Stop(), True),
        ("transient", Stop(), False),
        ("transient", ValueError(), True),
        ("temporary", ValueError(), False),
    ],
)
def test_a_child_comes_back_with_its_arguments_as_its_restart_value_says(
    restart: Restart, how: BaseException, *, comes_back: bool
) -> None:
    async def test() -> None:
        async with DynamicSupervisor.start() as supervisor:
            first = await started(supervisor, "x", spec=ChildSpec("item", Item.start, restart))
            first.cast(how)
            await settle()
            assert (supervisor.count, supervisor.restarts) == (comes_back, comes_back)
            for _, process in supervisor.which_children():
                assert isinstance(process, Item)
                assert (process is first, process.arguments) == (False, ("x",))

    run(test)


def test_past_the_shared_window_it_stops_the_others_and_exits_with_shutdown(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> None:
        supervisor = DynamicSupervisor.start(clock=FakeClock())
        items = [await started(supervisor) for _ in range(5)]
        for item in items[:4]:
            item.cast(ValueError())
        assert str(await supervisor.wait()) == "shutdown"
        assert str(items[4].ended) == "shutdown"

    run(test)
    assert "reached its restart intensity" in caplog.text


def test_a_failed_start_during_a_restart_counts_and_is_tried_again() -> None:
    async def test() -> None:
        async with DynamicSupervisor.start() as supervisor:
            item = await started(supervisor)
            Item.failures = 1
            item.cast(ValueError())
            await settle()
            assert (supervisor.count, supervisor.restarts) == (1, 2)

    run(test)


def test_a_start_that_fails_or_is_ignored_leaves_no_child() -> None:
    async def test() -> None:
        async with DynamicSupervisor.start(name="pool") as supervisor:
            Item.failures = 1
            with pytest.raises(StartError, match=r"pool: child 'item' could not start: .*no start"):
                await supervisor.start_child(SPEC)
            assert await supervisor.start_child(SPEC, "ignore") is None
            assert supervisor.count == 0

    run(test)


def test_a_process_that_is_no_child_cannot_be_terminated() -> None:
    async def test() -> None:
        async with DynamicSupervisor.start() as supervisor:
            item = await started(supervisor)
            await supervisor.terminate_child(item)
            with pytest.raises(NoSuchChildError, match="has no child"):
                await supervisor.terminate_child(item)
            assert (str(item.ended), supervisor.count) == ("shutdown", 0)

    run(test)


def test_all_children_are_stopped_at_once_each_within_its_own_limit() -> None:
    async def test() -> None:
        clock = FakeClock()
        supervisor = DynamicSupervisor.start(clock=clock)
        limits = [1.0, 2.0, 2.0]
        items = [
            await started(supervisor, spec=ChildSpec("item", Item.start, shutdown=limit)) for limit in limits
        ]
        for item in items:
            item.cast(asyncio.get_running_loop().create_future)
        await settle()
        stopping = asyncio.ensure_future(supervisor.stop())
        await clock.advance(1.01)
        assert [item.exit is None for item in items] == [False, True, True]
        await clock.advance(1.0)
        await stopping
        assert [str(item.exit) for item in items] == ["killed"] * 3
        assert clock.pending == 0

    run(test)


def test_a_great_many_are_stopped_over_several_turns_without_a_task() -> None:
    async def test() -> None:
        supervisor = DynamicSupervisor.start()
        items = [await started(supervisor) for _ in range(3 * STOPS_PER_STEP + 1)]
        assert len(asyncio.all_tasks()) == 1
        await supervisor.stop()
        assert {str(item.ended) for item in items} == {"shutdown"}

    run(test)


def test_while_draining_new_children_are_refused_and_after_the_end_too() -> None:
    async def test() -> None:
        supervisor = DynamicSupervisor.start()
        supervisor.quiet()
        refused = await supervisor.start_child(SPEC)
        assert isinstance(refused, Refused)
        assert refused.reason == "draining"
        await supervisor.stop()
        with pytest.raises(ServerDiedError):
            await supervisor.start_child(SPEC)

    run(test)


def test_equal_keys_go_to_the_same_copy_and_all_copies_are_used() -> None:
    async def test() -> None:
        async with PartitionSupervisor.start(Item.start, partitions=4) as copies:
            assert {copies.via(n).arguments for n in range(8)} == {(0,), (1,), (2,), (3,)}  # type: ignore[attr-defined]  # all are Items
            assert copies.via("user-1") is copies.via("user-1")
            copies.via(2).kill()
            with pytest.raises(ServerDiedError, match="is not running"):
                copies.via(2)
            await settle()
            assert copies.via(2).exit is None
        with pytest.raises(ValueError, match="at least 1"):
            PartitionSupervisor.start(Item.start, partitions=0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging.getLogger("inprocess"), "disabled", True)
        run(test)


def test_the_route_of_a_key_is_the_same_in_every_process() -> None:
    assert [partition_of(key, 7) for key in (9, -9, "user", b"user", ("a", 1))] == [2, 2, 6, 6, 5]


def test_children_are_counted_by_type_and_those_that_restart_are_not_active() -> None:
    async def test() -> None:
        async with DynamicSupervisor.start(max_restarts=9) as supervisor:
            crashing = await started(supervisor)
            await started(supervisor)
            below = await supervisor.start_child(
                ChildSpec("below", DynamicSupervisor.start, type="supervisor")
            )
            assert supervisor.count_children() == ChildCounts(specs=3, active=3, supervisors=1, workers=2)
            await sys.suspend(supervisor)
            crashing.cast(ValueError("oh"))
            await settle()
            assert supervisor.count_children() == ChildCounts(specs=3, active=2, supervisors=1, workers=2)
            assert await asyncio.to_thread(supervisor.count_children) == supervisor.count_children()
            await sys.resume(supervisor)
            await settle()
            assert isinstance(below, DynamicSupervisor)
            await supervisor.terminate_child(below)
            assert supervisor.count_children() == ChildCounts(specs=2, active=2, supervisors=0, workers=2)

    run(test)


def test_a_child_that_is_about_to_be_restarted_can_be_ended() -> None:
    async def test() -> None:
        async with DynamicSupervisor.start() as supervisor:
            child, other = await started(supervisor), await started(supervisor)
            child.cast(ValueError("oh"))
            child.monitor(
                lambda _exit: ending.append(asyncio.ensure_future(supervisor.terminate_child(child)))
            )
            ending: list[asyncio.Task[None]] = []
            await settle()
            await ending[0]
            assert (supervisor.count, supervisor.restarts, other.exit) == (1, 0, None)
            with pytest.raises(NoSuchChildError):
                await supervisor.terminate_child(child)

    run(test)


def test_a_child_whose_start_fails_again_and_again_can_be_ended() -> None:
    async def test() -> None:
        async with DynamicSupervisor.start(max_restarts=10_000) as supervisor:
            child = await started(supervisor)
            Item.failures = 10_000
            child.cast(ValueError("oh"))
            await settle(3)
            await supervisor.terminate_child(child)
            tried = supervisor.restarts
            await settle()
            assert (supervisor.count, supervisor.restarts) == (0, tried)
            assert tried > 0

    try:
        run(test)
    finally:
        Item.failures = 0


def test_a_child_in_the_init_of_its_restart_can_be_ended() -> None:
    async def test() -> None:
        begun = asyncio.Event()
        inits: list[Slow] = []

        class Slow(GenServer):
            async def init(self) -> None:
                inits.append(self)
                if len(inits) > 1:
                    begun.set()
                    await asyncio.Event().wait()

            def handle_cast(self, message: Any, /) -> None:
                raise message

        async with DynamicSupervisor.start() as supervisor:
            child = await supervisor.start_child(ChildSpec("slow", lambda: Slow.start(name="slow")))
            assert isinstance(child, Slow)
            child.cast(ValueError("oh"))
            await begun.wait()
            await supervisor.terminate_child(child)
            assert inits[1].exit is not None
            assert (supervisor.count, whereis("slow")) == (0, None)

    run(test)
