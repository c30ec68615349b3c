"""The watchdog: it names what blocks a loop, whatever that is, and nothing else."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from inprocess import GenServer, Periodic, Runtime, Task, TaskSupervisor, set_watchdog, telemetry
from inprocess.supervision.introspection import watchdog
from tests.inprocess.conftest import BLOCKED_AFTER_S
from tests.inprocess.programs import run_program

#: Seconds until a loop counts as blocked here, and for which it is blocked.
BOUND_S, BLOCKED_S = 0.2, 0.8


@pytest.fixture(autouse=True)
def _bound() -> Iterator[None]:
    set_watchdog(blocked_after_s=BOUND_S)
    yield
    set_watchdog(blocked_after_s=BLOCKED_AFTER_S)


async def sleep_deep_inside() -> None:
    await asyncio.sleep(0)
    block()


def block() -> None:
    time.sleep(BLOCKED_S)


class Server(GenServer):
    def handle_call(self, _request: object, _caller: object) -> None:
        block()

    async def handle_cast(self, _message: object) -> None:
        await sleep_deep_inside()


async def a_child() -> None:
    async with TaskSupervisor.start(name="mails") as tasks:
        await tasks.start_child(sleep_deep_inside, name="mail to ada").wait()  # type: ignore[union-attr]
        await asyncio.sleep(BOUND_S)


async def a_first_step() -> None:
    async def at_once() -> None:
        block()

    async with TaskSupervisor.start(name="mails") as tasks:
        await tasks.start_child(at_once, name="mail to ada").wait()  # type: ignore[union-attr]
        await asyncio.sleep(BOUND_S)


async def a_task() -> None:
    await Task.start(sleep_deep_inside, name="mail to ada").wait()  # type: ignore[union-attr]
    await asyncio.sleep(BOUND_S)


async def a_call() -> None:
    async with Server.start(name="prices") as server:
        await server.call("x")
        await asyncio.sleep(BOUND_S)


async def an_async_handler() -> None:
    async with Server.start(name="prices") as server:
        server.cast("x")
        await asyncio.sleep(BLOCKED_S + BOUND_S)


async def a_spawn_function() -> None:
    async with Periodic.start(block, interval_s=0.05, name="report") as server:
        while not server.counts.runs:  # noqa: ASYNC110 - nothing tells when a tick came
            await asyncio.sleep(0.01)
        server.quiet()
        await asyncio.sleep(BOUND_S)


async def somebody_else() -> None:
    async with TaskSupervisor.start():
        await asyncio.create_task(sleep_deep_inside(), name="request 7")
        await asyncio.sleep(BOUND_S)


async def a_callback() -> None:
    async with TaskSupervisor.start():
        asyncio.get_running_loop().call_soon(block)
        await asyncio.sleep(0)
        await asyncio.sleep(BOUND_S)


@pytest.mark.parametrize(
    ("blocks", "name"),
    [
        (a_child, "mail to ada: sleep_deep_inside() under mails"),
        (a_first_step, "mail to ada: a_first_step.<locals>.at_once() under mails"),
        (a_task, "mail to ada: sleep_deep_inside() under Task.start"),
        (a_call, "the server prices"),
        (an_async_handler, "the server prices"),
        (a_spawn_function, "the server report"),
        (somebody_else, "request 7, a task of sleep_deep_inside"),
        (a_callback, "a callback that is no child or server"),
    ],
)
def test_what_blocks_the_loop_is_named_with_its_stack(
    blocks: Callable[[], Coroutine[Any, Any, None]], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "inprocess")
    asyncio.run(blocks())
    said = [record.message for record in caplog.records if "blocked for" in record.message]
    assert said, caplog.text
    assert f" s by {name}: nothing else on it ran" in said[0]
    assert said[0].rstrip().endswith("time.sleep(BLOCKED_S)")
    assert "asyncio/events.py" not in said[0]
    assert "the event loop goes on, after " in caplog.text


def test_under_uvloop_too(caplog: pytest.LogCaptureFixture) -> None:
    uvloop = pytest.importorskip("uvloop")
    uvloop.run(a_child())
    assert "by mail to ada: sleep_deep_inside() under mails" in caplog.text


def test_telemetry_has_the_event(caplog: pytest.LogCaptureFixture) -> None:
    events: list[tuple[dict[str, float], dict[str, Any]]] = []
    telemetry.attach("dog", [("loop", "blocked")], lambda _, n, about: events.append((dict(n), dict(about))))
    try:
        asyncio.run(a_child())
    finally:
        telemetry.detach("dog")
    assert caplog.text
    (numbers, about), *_ = events
    assert numbers["blocked_s"] >= BOUND_S
    assert about["by"].startswith("mail to ada")
    assert "block()" in about["stack"]


def test_a_loop_that_is_idle_or_works_in_short_steps_is_not_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        async with TaskSupervisor.start():
            end = time.monotonic() + 4 * BOUND_S
            while time.monotonic() < end:
                time.sleep(BOUND_S / 50)  # noqa: ASYNC251 - it blocks for a short while
                await asyncio.sleep(0)
            await asyncio.sleep(4 * BOUND_S)

    asyncio.run(main())
    assert "blocked for" not in caplog.text


def test_what_holds_the_interpreters_lock_is_named_afterwards(caplog: pytest.LogCaptureFixture) -> None:
    """Also from a thread, in which case the loop itself was idle."""

    async def on_loop() -> None:
        sum(range(30_000_000))

    def in_thread() -> None:
        end = time.monotonic() + 3
        while time.monotonic() < end and "in_thread" not in caplog.text:
            sum(range(30_000_000))

    async def main() -> None:
        async with TaskSupervisor.start(name="sums") as tasks:
            await tasks.start_child(in_thread).wait()  # type: ignore[union-attr]
            for _ in range(5):
                if "on_loop" not in caplog.text:
                    await tasks.start_child(on_loop).wait()  # type: ignore[union-attr]
                    await asyncio.sleep(BOUND_S)

    asyncio.run(main())
    assert "since something held the interpreter's lock or the machine was busy; a thread runs" in caplog.text
    assert "sum(range(30_000_000))" in caplog.text
    assert "on_loop() under sums" in caplog.text


def test_it_can_be_switched_off_and_a_bound_that_cannot_be_is_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    set_watchdog(blocked_after_s=None)
    asyncio.run(a_child())
    assert "blocked for" not in caplog.text
    for bound in (0, -1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="blocked_after_s is"):
            set_watchdog(blocked_after_s=bound)


def test_it_watches_the_loop_of_a_runtime_and_every_loop_of_a_thread(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Runtime() as runtime:
        runtime.call(Task.start, sleep_deep_inside, name="on a runtime")
        time.sleep(BLOCKED_S + 2 * BOUND_S)
    assert "by on a runtime: sleep_deep_inside()" in caplog.text


def test_a_fork_sees_no_thread_of_it_and_watches_its_own_loops() -> None:
    ended = run_program(
        """
        import asyncio, logging, os, sys, time, warnings
        from inprocess import TaskSupervisor, set_watchdog
        warnings.simplefilter("error")
        logging.basicConfig(format="%(message)s")
        set_watchdog(blocked_after_s=0.2)

        async def sleepy():
            time.sleep(1)

        async def main():
            async with TaskSupervisor.start(name="in " + where) as tasks:
                if where == "the original":
                    pid = os.fork()
                    if not pid:
                        os._exit(7)
                    assert os.waitpid(pid, 0)[1] == 7 << 8
                await tasks.start_child(sleepy).wait()
                await asyncio.sleep(0.3)

        where = "the original"
        asyncio.run(main())
        where = "the fork"
        pid = os.fork()
        if pid:
            sys.exit(os.waitpid(pid, 0)[1] >> 8)
        asyncio.run(main())
        """
    )
    assert ended.returncode == 0, ended.stderr
    assert "by sleepy: sleepy() under in the original" in ended.stderr
    assert "by sleepy: sleepy() under in the fork" in ended.stderr


def test_its_thread_ends_when_no_loop_is_left() -> None:
    asyncio.run(a_callback())
    end = time.monotonic() + 30
    while any(thread.name == watchdog.THREAD_NAME for thread in threading.enumerate()):
        assert time.monotonic() < end
        time.sleep(0.01)
