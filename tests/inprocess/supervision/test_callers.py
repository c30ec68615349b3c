"""The chain of callers: who started a child that crashes, and who waits for a server that does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from inprocess import NO_REPLY, Child, GenServer, Refused, ServerDiedError, Task, TaskSupervisor
from inprocess.supervision.core.serving import served_by
from inprocess.supervision.tasks.child import MAX_CALLERS
from inprocess.testing import settle


def run(test: Callable[[TaskSupervisor], Awaitable[None]]) -> None:
    async def main() -> None:
        async with TaskSupervisor.start() as tasks:
            await test(tasks)
        assert not served_by

    asyncio.run(main())


async def crash() -> None:
    await asyncio.sleep(0)
    raise ValueError("oh")


class Desk(GenServer):
    """Starts children in handlers of each kind."""

    def init(self, tasks: TaskSupervisor, linked: GenServer | None = None) -> None:
        self.tasks = tasks
        self.next = linked

    def handle_cast(self, message: Any, /) -> None:
        message(self.tasks.start_child(crash))

    async def handle_info(self, message: Any, /) -> None:
        await asyncio.sleep(0)
        message(Task.start(crash))

    async def handle_call(self, request: Any, _caller: Any, /) -> Any:
        if request == "later":
            return NO_REPLY
        if self.next is None:
            raise ValueError(request)
        return await self.next.call(request)


@pytest.mark.parametrize("way", ["cast", "info"])
def test_a_child_names_the_server_whose_handler_started_it(
    way: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(tasks: TaskSupervisor) -> None:
        started: list[Child | Refused] = []
        async with Desk.start(tasks, name="desk") as desk:
            getattr(desk, way)(started.append)
            await settle()
        assert isinstance(started[0], Child)
        assert started[0].callers == ("desk",)

    run(test)
    assert "crashed in attempt 1: ValueError('oh')" in caplog.text
    assert "\n  callers: desk\n" in caplog.text


def test_a_child_names_the_children_above_it_and_keeps_no_endless_chain(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test(tasks: TaskSupervisor) -> None:
        last: list[Child] = []
        crashes = asyncio.Event()

        async def again(left: int) -> None:
            await asyncio.sleep(0)
            if not left:
                crashes.set()
                raise ValueError("oh")
            child = tasks.start_child(again, left - 1, name=f"n{left}")
            assert isinstance(child, Child)
            last.append(child)

        first = tasks.start_child(again, 3 * MAX_CALLERS, name="first")
        assert isinstance(first, Child)
        await crashes.wait()
        await last[-1].wait()
        assert last[1].callers == (f"n{3 * MAX_CALLERS}", "first")
        assert last[-1].callers == tuple(f"n{number}" for number in range(2, MAX_CALLERS + 2))

    run(test)
    assert "  callers: n2 < n3 < n4 < " in caplog.text


def test_a_linked_task_names_its_server_and_a_restart_adds_nothing() -> None:
    async def test(tasks: TaskSupervisor) -> None:
        seen: list[tuple[str, ...]] = []

        async def twice() -> None:
            child = seen_of[0]
            seen.append(child.callers)
            if len(seen) == 1:
                raise ValueError("once")
            inner = tasks.async_nolink(crash, name="inner")
            assert await inner.poll() is not None
            seen.append(inner.child.callers)

        seen_of: list[Child] = []

        class Starts(GenServer):
            def handle_cast(self, _message: Any, /) -> None:
                child = tasks.start_child(twice, restart="transient", name="twice")
                assert isinstance(child, Child)
                seen_of.append(child)

        async with Starts.start(name="starts") as starts:
            starts.cast("go")
            await settle()
            await seen_of[0].wait()
        assert seen == [("starts",), ("starts",), ("twice", "starts")]

    logging.getLogger("inprocess").disabled = True
    try:
        run(test)
    finally:
        logging.getLogger("inprocess").disabled = False


def test_the_crash_log_of_a_server_names_all_who_wait_for_it(caplog: pytest.LogCaptureFixture) -> None:
    async def test(tasks: TaskSupervisor) -> None:
        last = Desk.start(tasks, name="last")
        async with Desk.start(tasks, last, name="middle") as middle, Desk.start(tasks, middle) as first:

            async def ask() -> None:
                with pytest.raises(ServerDiedError):
                    await first.call("crash")

            await asyncio.create_task(ask(), name="request 7")

    run(test)
    record = next(record for record in caplog.records if "last crashed" in record.getMessage())
    called_by = next(line for line in record.getMessage().splitlines() if "called by" in line)
    assert called_by.startswith("  called by: server 'middle' < server 'Desk' < task 'request 7' (")
    assert called_by.endswith(")")
