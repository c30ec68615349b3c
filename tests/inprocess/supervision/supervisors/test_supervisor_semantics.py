"""OTP's rules of supervision (docs/runtime.md) that test_supervisor does not show already."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from inprocess.supervision.core.errors import (
    AlreadyPresentError,
    AlreadyStartedError,
    ChildRestartingError,
    ChildRunningError,
    NoSuchChildError,
    ServerDiedError,
    StartError,
)
from inprocess.supervision.core.exits import Exit, Ignore, Restart, Shutdown, Stop
from inprocess.supervision.core.names import whereis
from inprocess.supervision.core.process import SHUTDOWN_S, Process
from inprocess.supervision.servers.gen_server import GenServer
from inprocess.supervision.supervisors.child_spec import AutoShutdown, ChildCounts, ChildSpec
from inprocess.supervision.supervisors.dynamic_supervisor import DynamicSupervisor
from inprocess.supervision.supervisors.partition_supervisor import PartitionSupervisor
from inprocess.supervision.supervisors.supervisor import Supervisor
from inprocess.supervision.tasks.task_supervisor import TaskSupervisor
from inprocess.testing import FakeClock, settle


class Room:
    """What the servers of one test did, and what they are told to do."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.failures = 0
        self.gate = asyncio.Event()
        self.clock = FakeClock()

    def spec(self, child_id: str, restart: Restart = "permanent", **options: Any) -> ChildSpec:
        start = partial(Plain.start, self, child_id, name=child_id, clock=self.clock)
        return ChildSpec(child_id, start, restart, **options)

    def gated(self, child_id: str, restart: Restart = "permanent", **options: Any) -> ChildSpec:
        start = partial(Gated.start, self, child_id, name=child_id, clock=self.clock)
        return ChildSpec(child_id, start, restart, **options)

    def supervisor(self, *specs: ChildSpec, **options: Any) -> Supervisor:
        return Supervisor.start(specs, clock=self.clock, **options)


class Plain(GenServer):
    """Ends as it is told to."""

    def init(self, room: Room, child_id: str) -> None:
        if room.failures > 0:
            room.failures -= 1
            raise RuntimeError("no start")
        self.room, self.child_id = room, child_id
        room.lines.append(f"+{child_id}")

    def handle_cast(self, message: BaseException | Callable[[], Awaitable[None]], /) -> Any:
        if isinstance(message, BaseException):
            raise message
        return message()

    def terminate(self, ended: Exit, /) -> None:
        self.room.lines.append(f"-{self.child_id} {ended}")


class Gated(GenServer):
    """Initialises when the gate opens."""

    async def init(self, room: Room, child_id: str) -> None:
        room.lines.append(f"?{child_id}")
        await room.gate.wait()
        room.lines.append(f"+{child_id}")


class Ignoring(GenServer):
    """Has nothing to do here."""

    def init(self) -> None:
        raise Ignore


class IgnoringLater(GenServer):
    """Finds that out in an async init."""

    async def init(self) -> None:
        await asyncio.sleep(0)
        raise Ignore


def run(test: Callable[[Room], Awaitable[Any]]) -> None:
    async def main() -> None:
        await test(Room())

    asyncio.run(main())


def server(name: str) -> GenServer:
    process = whereis(name)
    assert isinstance(process, GenServer)
    return process


async def end(name: str, how: BaseException | None) -> None:
    """Make the server end with that, or kill it, and let the supervisor deal with it."""
    if how is None:
        server(name).kill()
    else:
        server(name).cast(how)
    await settle()


# The table.

EXITS: list[tuple[str, BaseException | None, dict[Restart, bool], bool]] = [
    ("normal", Stop(), {"permanent": True, "transient": False, "temporary": False}, False),
    ("shutdown", Shutdown(), {"permanent": True, "transient": False, "temporary": False}, False),
    ("shutdown(reason)", Shutdown("why"), {"permanent": True, "transient": False, "temporary": False}, False),
    ("exception", ValueError("x"), {"permanent": True, "transient": True, "temporary": False}, True),
    ("killed", None, {"permanent": True, "transient": True, "temporary": False}, True),
]


@pytest.mark.parametrize(
    ("how", "restart", "comes_back", "is_logged"),
    [
        pytest.param(how, restart, comes_back, is_logged, id=f"{row}-{restart}")
        for row, how, columns, is_logged in EXITS
        for restart, comes_back in columns.items()
    ],
)
def test_a_row_of_the_table_of_exits(
    how: BaseException | None,
    restart: Restart,
    caplog: pytest.LogCaptureFixture,
    *,
    comes_back: bool,
    is_logged: bool,
) -> None:
    async def test(room: Room) -> None:
        async with room.supervisor(room.spec("a", restart)) as supervisor:
            first = whereis("a")
            await end("a", how)
            assert (whereis("a") not in {None, first}) == comes_back
            assert supervisor.restarts == comes_back
            kept = [] if restart == "temporary" else [("a", whereis("a"))]
            assert supervisor.which_children() == kept

    with caplog.at_level(logging.ERROR, "inprocess"):
        run(test)
    assert (caplog.text != "") == (is_logged and (how is not None or restart == "temporary"))


def test_a_normal_exit_of_a_permanent_child_counts_in_the_window() -> None:
    async def test(room: Room) -> None:
        supervisor = room.supervisor(room.spec("a"), max_restarts=0)
        await end("a", Stop())
        assert str(await supervisor.wait()) == "shutdown"

    run(test)


def test_an_exit_carries_the_reason_of_its_shutdown() -> None:
    async def test(room: Room) -> None:
        async with room.supervisor(room.spec("a", "transient")):
            process = server("a")
            await end("a", Shutdown("moved"))
            assert process.exit == Exit("shutdown", reason="moved")
            assert room.lines == ["+a", "-a shutdown: moved"]

    run(test)


# Restart intensity.


def test_the_fourth_restart_in_five_seconds_ends_the_supervisor() -> None:
    async def test(room: Room) -> None:
        supervisor = room.supervisor(room.spec("a"))
        for _ in range(3):
            await end("a", ValueError())
            room.clock.jump(1.0)
        assert supervisor.exit is None
        await end("a", ValueError())
        assert str(supervisor.exit) == "shutdown"

    run(test)


@pytest.mark.parametrize(("seconds", "goes_on"), [(5.0, False), (5.001, True)])
def test_a_restart_at_the_edge_of_the_window_still_counts(seconds: float, *, goes_on: bool) -> None:
    async def test(room: Room) -> None:
        async with room.supervisor(room.spec("a"), max_restarts=1, max_seconds=5.0) as supervisor:
            await end("a", ValueError())
            room.clock.jump(seconds)
            await end("a", ValueError())
            assert (supervisor.exit is None) == goes_on

    run(test)


def test_all_children_share_one_window() -> None:
    async def test(room: Room) -> None:
        supervisor = room.supervisor(*(room.spec(name) for name in "abcd"))
        for name in "abcd":
            await end(name, ValueError())
        assert str(supervisor.exit) == "shutdown"

    run(test)


def test_first_starts_and_those_by_hand_do_not_count() -> None:
    async def test(room: Room) -> None:
        async with room.supervisor(room.spec("a"), max_restarts=0) as supervisor:
            for _ in range(3):
                await supervisor.terminate_child("a")
                assert await supervisor.restart_child("a") is whereis("a")
            assert (supervisor.restarts, supervisor.exit) == (0, None)

    run(test)


def test_a_failed_start_in_a_cycle_is_tried_again_from_the_one_that_failed() -> None:
    async def test(room: Room) -> None:
        specs = [room.spec(name) for name in "abc"]
        async with room.supervisor(*specs, strategy="rest_for_one") as supervisor:
            room.lines.clear()
            server("a").cast(ValueError())
            room.failures = 1
            await settle()
            assert room.lines == ["-a ValueError()", "-c shutdown", "-b shutdown", "+a", "+b", "+c"]
            assert supervisor.restarts == 2

    run(test)


def test_a_child_whose_restart_failed_is_restarting_until_the_next_try() -> None:
    async def test(room: Room) -> None:
        async with room.supervisor(room.spec("a")) as supervisor:
            server("a").cast(ValueError())
            room.failures = 1
            # Both requests are queued behind the end of the child, and so before the second try.
            asked = asyncio.ensure_future(supervisor.restart_child("a"))
            deleted = asyncio.ensure_future(supervisor.delete_child("a"))
            for refused in (asked, deleted):
                with pytest.raises(ChildRestartingError, match="'a' is about to be restarted"):
                    await refused
            await settle()
            assert (supervisor.which_children(), supervisor.restarts) == ([("a", server("a"))], 2)

    run(test)


def test_a_child_that_is_terminated_before_the_next_try_stays_away() -> None:
    async def test(room: Room) -> None:
        async with room.supervisor(room.spec("a")) as supervisor:
            server("a").cast(ValueError())
            room.failures = 1
            asked = asyncio.ensure_future(supervisor.terminate_child("a"))  # behind the child's end, as above
            await asked
            await settle()
            assert (supervisor.which_children(), supervisor.restarts) == ([("a", None)], 1)

    run(test)


def test_a_cycle_of_siblings_starts_those_that_had_ended_too() -> None:
    async def test(room: Room) -> None:
        specs = [room.spec("a", "transient"), room.spec("b"), room.spec("c")]
        async with room.supervisor(*specs, strategy="one_for_all") as supervisor:
            await end("a", Stop())
            await supervisor.terminate_child("b")
            await end("c", ValueError())
            assert [whereis(name) is not None for name in "abc"] == [True] * 3

    run(test)


def test_children_that_end_together_are_one_restart_where_one_cycle_covers_them() -> None:
    async def test(room: Room) -> None:
        specs = [room.spec(name) for name in "abc"]
        async with room.supervisor(*specs, strategy="one_for_all") as supervisor:
            server("a").cast(ValueError())
            server("c").cast(ValueError())
            await settle()
            assert (supervisor.restarts, room.lines.count("+b")) == (1, 2)

    run(test)


# Start.


def test_a_child_starts_only_when_the_one_before_has_initialised() -> None:
    async def test(room: Room) -> None:
        supervisor = room.supervisor(room.gated("a"), room.spec("b"))
        await settle()
        assert room.lines == ["?a"]
        room.gate.set()
        async with supervisor:
            assert room.lines == ["?a", "+a", "+b"]

    run(test)


@pytest.mark.parametrize(
    "start", [Ignoring.start, IgnoringLater.start, lambda: None], ids=["init", "async init", "None"]
)
@pytest.mark.parametrize(("restart", "is_kept"), [("permanent", True), ("temporary", False)])
def test_an_ignored_child_is_kept_without_a_process_unless_it_is_temporary(
    start: Callable[[], Process | None], restart: Restart, *, is_kept: bool
) -> None:
    async def test(room: Room) -> None:
        ignored = ChildSpec("i", start, restart)
        async with room.supervisor(ignored, room.spec("a")) as supervisor:
            kept: list[object] = [("i", None)] if is_kept else []
            assert supervisor.which_children() == [*kept, ("a", whereis("a"))]
            assert await supervisor.start_child(ChildSpec("later", start, restart)) is None
            assert [child_id for child_id, _ in supervisor.which_children()].count("later") == is_kept

    run(test)


def test_a_name_that_is_taken_is_refused_and_the_owner_goes_on() -> None:
    async def test(_room: Room) -> None:
        async with Supervisor.start(name="tree") as supervisor:
            with pytest.raises(AlreadyStartedError, match="'tree' is taken"):
                Supervisor.start(name="tree")
            assert whereis("tree") is supervisor

    run(test)


def test_a_nested_tree_that_cannot_start_is_undone_and_told_with_each_id() -> None:
    async def test(room: Room) -> None:
        inner = ChildSpec("inner", lambda: room.supervisor(room.spec("b"), ChildSpec("c", refuse)))
        with pytest.raises(
            StartError, match=r"child 'inner' could not start: .*child 'c' could not start: no"
        ):
            await room.supervisor(room.spec("a"), inner).ready()
        assert room.lines == ["+a", "+b", "-b shutdown", "-a shutdown"]

    def refuse() -> Process:
        raise RuntimeError("no")

    run(test)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"restart": "always"}, "restart is 'always'"),
        ({"shutdown": -1.0}, "shutdown is -1.0"),
        ({"shutdown": "soon"}, "shutdown is 'soon'"),
        ({"type": "boss"}, "type is 'boss'"),
        ({"significant": True}, "is significant and permanent"),
    ],
)
def test_a_spec_that_makes_no_child_is_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        ChildSpec("a", Ignoring.start, **options)


@pytest.mark.parametrize("options", [{"strategy": "all"}, {"auto_shutdown": "yes"}, {"max_restarts": -1}])
def test_options_that_make_no_supervisor_are_refused(options: dict[str, Any]) -> None:
    async def test(_room: Room) -> None:
        with pytest.raises(ValueError, match="expected"):
            Supervisor.start(**options)

    run(test)


# Shutdown.


@pytest.mark.parametrize("limit", [None, 0.5, 30.0])
def test_a_worker_has_its_limit_and_then_is_killed(limit: float | None) -> None:
    async def test(room: Room) -> None:
        supervisor = room.supervisor(room.spec("a", shutdown=limit))
        process = server("a")
        process.cast(asyncio.get_running_loop().create_future)
        await settle()
        stopping = asyncio.ensure_future(supervisor.stop())
        await room.clock.advance((SHUTDOWN_S if limit is None else limit) - 0.01)
        assert process.exit is None
        await room.clock.advance(0.02)
        await stopping
        assert (str(process.exit), room.lines) == ("killed", ["+a"])

    run(test)


def test_infinity_waits_as_long_as_it_takes_and_is_the_default_of_supervisors() -> None:
    async def test(room: Room) -> None:
        inner = ChildSpec("inner", lambda: room.supervisor(room.spec("a", shutdown="infinity")))
        supervisor = room.supervisor(inner)
        done = asyncio.Event()
        server("a").cast(done.wait)
        await settle()
        stopping = asyncio.ensure_future(supervisor.stop())
        await room.clock.advance(1_000_000.0)
        assert whereis("a") is not None
        done.set()
        await stopping
        assert room.lines == ["+a", "-a shutdown"]

    run(test)


def test_a_worker_that_swallows_its_cancellation_is_abandoned_and_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test(room: Room) -> None:
        release = asyncio.Event()

        async def stubborn() -> None:
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue

        supervisor = room.supervisor(room.spec("a", shutdown=1.0))
        server("a").cast(stubborn)
        await settle()
        stopping = asyncio.ensure_future(supervisor.stop())
        await room.clock.advance(10.0)
        await stopping
        assert supervisor.exit is not None
        release.set()
        await settle()

    run(test)
    assert "a ignored its cancellation and was abandoned" in caplog.text


# auto_shutdown.


@pytest.mark.parametrize(("auto_shutdown", "ends_after"), [("any_significant", 1), ("all_significant", 2)])
def test_auto_shutdown_ends_it_when_significant_children_end_by_themselves(
    auto_shutdown: AutoShutdown, ends_after: int
) -> None:
    async def test(room: Room) -> None:
        specs = [room.spec("a", "transient", significant=True), room.spec("b", "temporary", significant=True)]
        supervisor = room.supervisor(
            *specs, room.spec("c"), room.spec("d", "transient"), auto_shutdown=auto_shutdown
        )
        await end("d", Stop())  # not significant
        for ended, name in enumerate("ab"):
            assert (supervisor.exit is None) == (ended < ends_after)
            if supervisor.exit is None:
                await end(name, Stop())
        assert str(supervisor.exit) == "shutdown"
        assert room.lines[-1].endswith("shutdown")

    run(test)


def test_auto_shutdown_does_not_heed_a_child_that_is_restarted_terminated_or_cycled() -> None:
    async def test(room: Room) -> None:
        specs = [
            room.spec("a", "transient", significant=True),
            room.spec("b"),
            room.spec("t", "temporary", significant=True),
        ]
        options: dict[str, Any] = {"auto_shutdown": "any_significant", "strategy": "one_for_all"}
        async with room.supervisor(*specs, **options) as supervisor:
            await end("a", ValueError())
            await end("b", ValueError())
            await supervisor.terminate_child("a")
            await settle()
            assert supervisor.exit is None

    run(test)


def test_a_significant_child_of_a_supervisor_that_never_shuts_itself_down_is_refused() -> None:
    async def test(room: Room) -> None:
        significant = room.spec("a", "transient", significant=True)
        with pytest.raises(
            ValueError, match="'a' is significant, but its supervisor has auto_shutdown='never'"
        ):
            room.supervisor(significant)
        async with room.supervisor() as supervisor:
            with pytest.raises(ValueError, match="'a' is significant"):
                await supervisor.start_child(significant)

    run(test)


# By hand.


def test_a_terminated_child_keeps_its_spec_unless_it_is_temporary() -> None:
    async def test(room: Room) -> None:
        async with room.supervisor(room.spec("a"), room.spec("t", "temporary")) as supervisor:
            await supervisor.terminate_child("a")
            await supervisor.terminate_child("t")
            assert supervisor.which_children() == [("a", None)]
            await supervisor.terminate_child("a")  # once more is no error, as in OTP

    run(test)


def test_what_does_not_fit_the_child_is_told() -> None:
    async def test(room: Room) -> None:
        async with room.supervisor(room.spec("a"), room.spec("b"), name="tree") as supervisor:
            await supervisor.terminate_child("b")
            for ask in (supervisor.restart_child, supervisor.terminate_child, supervisor.delete_child):
                with pytest.raises(NoSuchChildError, match="tree has no child 'x'"):
                    await ask("x")
            for ask in (supervisor.restart_child, supervisor.delete_child):
                with pytest.raises(ChildRunningError, match="'a' is running: terminate it first"):
                    await ask("a")
            with pytest.raises(AlreadyPresentError, match="restart it, or delete it first"):
                await supervisor.start_child(room.spec("b"))
            with pytest.raises(AlreadyStartedError, match="has a child 'a' already"):
                await supervisor.start_child(room.spec("a"))
            await supervisor.delete_child("b")
            await supervisor.start_child(room.spec("b"))

    run(test)


def test_a_restart_by_hand_that_fails_keeps_the_spec() -> None:
    async def test(room: Room) -> None:
        async with room.supervisor(room.spec("a")) as supervisor:
            await supervisor.terminate_child("a")
            room.failures = 1
            with pytest.raises(StartError, match="no start"):
                await supervisor.restart_child("a")
            assert supervisor.which_children() == [("a", None)]

    run(test)


def test_children_are_counted_by_type_and_by_whether_they_run() -> None:
    async def test(room: Room) -> None:
        inner = ChildSpec("inner", Supervisor.start, type="supervisor")
        async with room.supervisor(inner, room.spec("a"), ChildSpec("i", lambda: None)) as supervisor:
            expected = ChildCounts(specs=3, active=2, supervisors=1, workers=2)
            assert supervisor.count_children() == expected
            assert await asyncio.to_thread(supervisor.count_children) == expected
            assert len(await asyncio.to_thread(supervisor.which_children)) == 3

    run(test)


def test_what_is_asked_of_a_supervisor_that_ended_is_refused_and_what_waits_too() -> None:
    async def test(room: Room) -> None:
        supervisor = room.supervisor(room.spec("a"))
        waiting = asyncio.ensure_future(supervisor.start_child(room.gated("b")))
        behind = asyncio.ensure_future(supervisor.terminate_child("a"))
        await settle()
        await supervisor.stop()
        for asked in (waiting, behind, supervisor.restart_child("a")):
            with pytest.raises(ServerDiedError):
                await asked

    run(test)


def test_a_supervisor_serves_callers_on_other_loops_and_in_other_threads() -> None:
    async def test(room: Room) -> None:
        async with room.supervisor() as supervisor:
            started = await asyncio.to_thread(lambda: asyncio.run(supervisor.start_child(room.spec("a"))))
            assert started is whereis("a")
            assert threading.get_ident() == server("a").scheduler.thread

    run(test)


# A start that hangs.


@pytest.mark.parametrize("ending", ["stop", "kill"])
@pytest.mark.parametrize("phase", ["first start", "restart", "start_child", "nested"])
def test_a_supervisor_whose_child_hangs_in_its_init_can_still_be_ended(phase: str, ending: str) -> None:
    async def test(room: Room) -> None:
        if phase == "first start":
            supervisor = room.supervisor(room.spec("a"), room.gated("h"))
        elif phase == "nested":
            inner = ChildSpec("inner", lambda: room.supervisor(room.gated("h")))
            supervisor = room.supervisor(room.spec("a"), inner)
        elif phase == "restart":
            room.gate.set()
            supervisor = room.supervisor(room.spec("a"), room.gated("h"))
            await supervisor.ready()
            room.gate.clear()
            server("h").kill()
        else:
            supervisor = room.supervisor(room.spec("a"))
            asked = asyncio.ensure_future(supervisor.start_child(room.gated("h")))
        await settle()
        if ending == "stop":
            await supervisor.stop()
        else:
            supervisor.kill()
            await supervisor.wait()
        assert (whereis("a"), whereis("h")) == (None, None)
        assert room.lines[-1] == ("-a shutdown" if ending == "stop" else "?h")
        if phase == "start_child":
            with pytest.raises(ServerDiedError):
                await asked
        elif phase != "restart":
            with pytest.raises(StartError):
                await supervisor.ready()

    run(test)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_thousand_supervisors_inside_of_each_other_start_and_end(end: str) -> None:
    def nested(depth: int) -> Process:
        inner = partial(nested, depth - 1) if depth else partial(GenServer.start, name="innermost")
        return Supervisor.start([ChildSpec("inner", inner)])

    async def main() -> None:
        outermost = nested(1000)
        await outermost.ready()
        innermost = whereis("innermost")
        assert innermost is not None
        assert outermost.held() == []
        await outermost.stop("brutal_kill" if end == "kill" else None)
        assert innermost.exit is not None

    asyncio.run(main())


def test_a_partition_supervisor_keeps_its_routing_when_a_part_is_gone() -> None:
    async def main() -> None:
        async with PartitionSupervisor.start(
            lambda n: GenServer.start(name=f"part {n}"), partitions=3, restart="temporary"
        ) as parts:
            before = {key: parts.via(key).name for key in range(9)}
            await parts.via(1).stop()
            await settle()
            assert parts.partitions == 3
            for key in range(9):
                if key % 3 == 1:
                    with pytest.raises(ServerDiedError):
                        parts.via(key)
                else:
                    assert parts.via(key).name == before[key]

    asyncio.run(main())


@pytest.mark.parametrize("bound", [-1, math.nan, "many"])
def test_a_bound_on_children_that_cannot_be_is_refused(bound: Any) -> None:
    async def main() -> None:
        for kind in (TaskSupervisor, DynamicSupervisor):
            with pytest.raises(ValueError, match="max_children"):
                kind.start(max_children=bound)
        async with TaskSupervisor.start() as tasks:
            with pytest.raises(ValueError, match="max_concurrency"):
                await anext(tasks.async_stream(str, [1], max_concurrency=1.5))  # type: ignore[arg-type]  # refused

    asyncio.run(main())
