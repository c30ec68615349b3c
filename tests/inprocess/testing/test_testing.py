"""The helpers for users' tests: what they find, and what they tell."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine

import pytest

from inprocess.supervision.core import names, telemetry
from inprocess.supervision.servers.gen_server import GenServer
from inprocess.supervision.tasks.task_supervisor import TaskSupervisor
from inprocess.testing import (
    FakeClock,
    LeakError,
    capture_crashes,
    no_leaks,
    record_starts,
    settle,
)


async def work(number: int, token: str = "") -> None:
    if number < 0:
        raise ValueError(number, len(token))


def test_starts_are_recorded_with_their_arguments_and_attempts() -> None:
    async def main() -> None:
        async with TaskSupervisor.start(name="tasks") as tasks:
            with record_starts() as starts, capture_crashes():
                tasks.start_child(work, 1)
                tasks.start_child(work, -1, restart="transient", name="failing")
                await settle()
        assert starts.assert_started(work, 1, times=1)[0].supervisor == "tasks"
        attempts = starts.assert_started(work, -1, times=4)  # OTP's three restarts
        assert [start.attempt for start in attempts] == [1, 2, 3, 4]
        assert {start.name for start in attempts} == {"failing"}
        starts.assert_not_started(work, 2)
        starts.assert_not_started(print)

    asyncio.run(main())
    assert not telemetry.attached


def test_a_missing_start_is_told_with_what_was_started_and_no_secret() -> None:
    async def main() -> None:
        async with TaskSupervisor.start(name="tasks") as tasks:
            with record_starts() as starts:
                tasks.start_child(work, 1, "s3cr3t")
                await settle()
        with pytest.raises(AssertionError, match=r"at least one start of work\(7\), found 0 in") as failed:
            starts.assert_started(work, 7)
        assert "work(1, [hidden]) under tasks, attempt 1" in str(failed.value)
        assert "s3cr3t" not in str(failed.value)
        with pytest.raises(AssertionError, match="expected 2 starts"):
            starts.assert_started(work, times=2)
        with pytest.raises(AssertionError, match="expected no start of work"):
            starts.assert_not_started(work, 1, "s3cr3t")

    asyncio.run(main())


def test_nothing_is_recorded_after_the_block() -> None:
    async def main() -> None:
        async with TaskSupervisor.start() as tasks:
            with record_starts() as starts:
                pass
            tasks.start_child(work, 1)
            await settle()
            assert not starts

    asyncio.run(main())


def test_a_crash_is_captured_with_its_error() -> None:
    async def main() -> None:
        async with TaskSupervisor.start() as tasks:
            with capture_crashes() as crashes:
                crashes.assert_none()
                tasks.start_child(work, -5)
                await settle()
        assert crashes.assert_one(ValueError, "work(-5)").args == (-5, 0)
        assert [type(error) for error in crashes.errors] == [ValueError]
        with pytest.raises(AssertionError, match="expected no crash"):
            crashes.assert_none()
        with pytest.raises(AssertionError, match="expected one crash by KeyError, found 0"):
            crashes.assert_one(KeyError)

    asyncio.run(main())


async def leave_a_task() -> None:
    leave_a_task.kept = asyncio.create_task(asyncio.sleep(3600), name="forgotten")  # type: ignore[attr-defined]


async def leave_a_timer() -> None:
    asyncio.get_running_loop().call_later(3600, print)


async def leave_a_send_after() -> None:
    server = GenServer.start()
    server.send_after(3600, "late")


async def leave_a_timer_of_a_fake_clock() -> None:
    server = GenServer.start(clock=FakeClock())
    server.send_after(3600, "late")


async def leave_a_name() -> None:
    GenServer.start(name="taken")


@pytest.mark.parametrize(
    ("left", "told"),
    [
        (leave_a_task, r"tasks.*forgotten"),
        (leave_a_timer, r"timers.*print"),
        (leave_a_send_after, r"timers.*1 of the scheduler of <.*LoopClock"),
        (leave_a_timer_of_a_fake_clock, r"timers.*1 of the scheduler of <.*FakeClock"),
        (leave_a_name, r"names.*taken"),
    ],
)
def test_what_a_loop_leaves_over_is_found_by_kind(
    left: Callable[[], Coroutine[None, None, None]], told: str
) -> None:
    with pytest.raises(LeakError, match=told), no_leaks():
        asyncio.run(left())
    names._names.pop("taken", None)


def test_threads_processes_and_handlers_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inprocess.testing.leaks.PATIENCE_S", 0.05)
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, name="stays")
    command = [sys.executable, "-c", "input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        with pytest.raises(LeakError) as found, no_leaks():  # noqa: PT012 - the end of the block raises
            thread.start()
            telemetry.attach("stays too", [("x",)], print)
        stop.set()
        telemetry.detach("stays too")
        assert process.stdin is not None
        process.stdin.close()
    text = str(found.value)
    assert "threads (join them): stays" in text
    assert "telemetry handlers (detach them): stays too" in text
    assert "processes" not in text  # it was there before


def test_a_child_process_that_goes_on_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inprocess.testing.leaks.PATIENCE_S", 0.05)
    started: list[subprocess.Popen[bytes]] = []
    with pytest.raises(LeakError, match=r"child processes.*input"), no_leaks():
        started.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))
    started[0].communicate()


def test_an_error_of_the_block_is_the_one_to_see() -> None:
    with pytest.raises(ZeroDivisionError), no_leaks():  # noqa: PT012 - which of two errors is told
        telemetry.attach("left", [("x",)], print)
        raise ZeroDivisionError
    telemetry.detach("left")


def test_work_that_ends_leaves_nothing() -> None:
    async def main() -> None:
        async with TaskSupervisor.start(name="tasks") as tasks, GenServer.start(name="server") as server:
            tasks.start_child(work, 1)
            server.send_after(0.001, "x").cancel()
            await settle()

    with no_leaks() as leaks:
        asyncio.run(main())
    assert not leaks
    assert str(leaks) == "nothing is left over"


def test_an_attempt_that_began_while_nobody_listened_ends_without_a_duration() -> None:
    durations: list[float | None] = []

    async def main() -> None:
        async with TaskSupervisor.start() as tasks:
            go_on = asyncio.Event()
            tasks.start_child(go_on.wait)
            await settle()
            telemetry.attach(
                "late", [("task", "stop")], lambda _, told, __: durations.append(told.get("duration"))
            )
            tasks.start_child(go_on.wait)
            await settle()
            go_on.set()
            await settle()
            telemetry.detach("late")

    asyncio.run(main())
    assert durations[0] is None
    assert isinstance(durations[1], float)
