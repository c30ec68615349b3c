"""Every callback of the runtime runs in the context of what it serves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

import pytest

from inprocess import (
    Backoff,
    Caller,
    Child,
    ChildSpec,
    DynamicSupervisor,
    GenServer,
    Periodic,
    Supervisor,
    TaskSupervisor,
    telemetry,
    whereis,
)
from inprocess.supervision.core.contexts import origin
from inprocess.supervision.periodic.work_then_rearm import FixedDelay
from inprocess.testing import FakeClock, settle

user: ContextVar[str | None] = ContextVar("user", default=None)


class Reports(GenServer):
    def init(self) -> None:
        self.at_init = user.get()

    def handle_call(self, request: Any, _caller: Caller, /) -> object:
        user.set(request)  # stays in the server's own
        return self.at_init

    def handle_cast(self, _message: Any, /) -> None:
        raise ValueError


async def request(name: str, *calls: Any) -> None:
    """Do it as one request does: in a task, with a variable of its own."""

    async def run() -> None:
        user.set(name)
        for call in calls:
            outcome = call()
            if asyncio.iscoroutine(outcome):
                await outcome

    await asyncio.create_task(run())


def test_a_restarted_server_runs_in_its_supervisors_context() -> None:
    async def main() -> None:
        async with Supervisor.start([ChildSpec("a", lambda: Reports.start(name="a"))]):
            await request("ann", lambda: whereis("a").cast("crash"), settle)  # type: ignore[union-attr]  # it runs
            server = whereis("a")
            assert isinstance(server, Reports)
            assert await server.call("bob") is None

    asyncio.run(main())


@pytest.mark.parametrize("kind", [Supervisor, DynamicSupervisor])
def test_a_server_that_a_request_started_is_restarted_in_the_context_of_that_request(
    kind: type[Supervisor | DynamicSupervisor],
) -> None:
    spec = ChildSpec("a", lambda: Reports.start(name="a"))

    async def main() -> None:
        async with kind.start() as supervisor:
            await request("ann", lambda: supervisor.start_child(spec))
            first = whereis("a")
            assert isinstance(first, Reports)
            await request("bob", lambda: first.cast("crash"), settle)
            second = whereis("a")
            assert isinstance(second, Reports)
            assert second is not first
            assert await second.call("carl") == "ann"

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["periodic", "fixed delay"])
def test_a_periodic_server_ticks_in_its_starters_context_whoever_woke_the_scheduler(kind: str) -> None:
    seen: list[str | None] = []
    enough = asyncio.Event()

    async def flaky() -> None:
        raise ConnectionError

    def tick() -> None:
        seen.append(user.get())
        user.set("left by a tick")
        if len(seen) == 5:
            enough.set()

    async def main() -> None:
        start = Periodic.start if kind == "periodic" else FixedDelay.start
        async with TaskSupervisor.start(max_restarts=1000) as tasks, start(tick, interval_s=0.02):
            backoff = Backoff(initial_s=0.005, max_s=0.005)
            await request("ann", lambda: tasks.start_child(flaky, restart="transient", backoff=backoff))
            await enough.wait()

    logging.disable()
    asyncio.run(main())
    logging.disable(logging.NOTSET)
    assert set(seen) == {None}


@pytest.mark.parametrize("kind", [Periodic, FixedDelay])
def test_each_tick_of_a_server_that_a_request_started_sees_only_what_that_request_has_set(
    kind: type[Periodic | FixedDelay],
) -> None:
    async def main() -> list[str | None]:
        clock, seen = FakeClock(0.0), []

        def tick() -> None:
            seen.append(user.get())
            user.set("left by a tick")

        servers: list[Periodic | FixedDelay] = []
        await request("ann", lambda: servers.append(kind.start(tick, interval_s=10.0, clock=clock)))
        servers.append(kind.start(tick, interval_s=10.0, clock=clock))
        await clock.advance(25.0)
        for server in servers:
            await server.stop()
        return seen

    assert asyncio.run(main()) == ["ann", None, "ann", None]


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("restart", ["temporary", "transient"])
def test_logs_telemetry_and_hooks_of_a_child_run_in_its_own_context(
    waits: bool,  # noqa: FBT001 - a parameter of the test
    restart: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    logged: list[tuple[str, str | None]] = []
    events: list[tuple[str, str | None]] = []
    ended: list[tuple[str, str | None]] = []

    async def boom(name: str) -> None:
        if waits:
            await asyncio.sleep(0)
        raise ValueError(name)

    def note(record: logging.LogRecord) -> bool:
        logged.append((record.getMessage(), user.get()))
        return True

    def observe(_event: Any, _numbers: Any, about: Mapping[str, Any]) -> None:
        events.append((about["child"].args[0], user.get()))

    async def main() -> None:
        async with TaskSupervisor.start(max_restarts=1000) as tasks:

            def start(name: str) -> None:
                child = tasks.start_child(boom, name, restart=restart)
                assert isinstance(child, Child)
                child.monitor(lambda _exit: ended.append((name, user.get())))

            names = ["ann", "bob", "carl"]
            await asyncio.gather(*(request(name, lambda name=name: start(name)) for name in names))
            await settle(200)
            for child in tasks.children():
                await tasks.terminate_child(child)

    logger = logging.getLogger("inprocess")
    logger.addFilter(note)
    telemetry.attach("note", [("task", "start"), ("task", "exception")], observe)
    try:
        with caplog.at_level(logging.ERROR):
            asyncio.run(main())
    finally:
        telemetry.detach("note")
        logger.removeFilter(note)
    assert events
    assert all(name == seen for name, seen in events)
    crashes = [(text, seen) for text, seen in logged if "crashed in attempt" in text]
    assert crashes
    assert all(f"{seen!r}" in text for text, seen in crashes)
    if restart == "temporary":
        assert sorted(ended) == [("ann", "ann"), ("bob", "bob"), ("carl", "carl")]


def test_contexts_with_equal_values_that_are_not_the_same_are_not_shared() -> None:
    class Unfriendly:
        def __eq__(self, _other: object) -> bool:
            raise ValueError("as the arrays of numpy do")

        __hash__ = None  # type: ignore[assignment]  # not needed

    value: ContextVar[object] = ContextVar("value")

    async def main() -> None:
        value.set([])
        first = origin()
        assert origin() is first
        value.set([])
        second = origin()
        assert second is not first
        value.set(Unfriendly())
        assert origin() is origin()

    asyncio.run(main())
