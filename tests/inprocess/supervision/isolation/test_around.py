"""Hooks around each job: where they are entered, in which order, and what their errors do."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import pytest

from inprocess import Child, Runtime, Task, TaskSupervisor, around_every_job, current_child
from inprocess.supervision.isolation import around
from inprocess.supervision.lifecycle.runtime import on_loop

_inside: ContextVar[tuple[str, ...]] = ContextVar("inside", default=())


@pytest.fixture(autouse=True)
def _no_hook_of_the_process_is_left() -> Iterator[None]:
    yield
    for hook in list(around._of_process):
        around.no_longer_around(hook)


class Hook:
    """Notes its entries and exits, with the thread and the child."""

    def __init__(self, name: str, log: list[tuple[str, str, int, str]]) -> None:
        self.name = name
        self.log = log

    @contextmanager
    def __call__(self) -> Iterator[None]:
        child = current_child()
        assert child is not None
        token = _inside.set((*_inside.get(), self.name))
        self.log.append(("enter", self.name, threading.get_ident(), child.name))
        try:
            yield
        finally:
            self.log.append(("exit", self.name, threading.get_ident(), child.name))
            _inside.reset(token)


def plain(seen: list[Any]) -> None:
    seen.append((_inside.get(), threading.get_ident()))


async def coroutine(seen: list[Any]) -> None:
    await asyncio.sleep(0)
    seen.append((_inside.get(), threading.get_ident()))


@pytest.mark.parametrize("function", [plain, coroutine])
@pytest.mark.parametrize("isolation", [None, "loop", "thread"])
def test_a_job_runs_inside_of_the_hook_where_its_function_runs(
    function: Callable[[list[Any]], Awaitable[None] | None], isolation: Any
) -> None:
    log: list[tuple[str, str, int, str]] = []
    seen: list[Any] = []

    async def main() -> None:
        async with TaskSupervisor.start(around=Hook("own", log)) as tasks:
            child = tasks.start_child(function, seen, isolation=isolation)
            assert isinstance(child, Child)
            assert (await child.wait()).kind == "normal"

    asyncio.run(main())
    ((inside, thread),) = seen
    assert inside == ("own",)
    assert log == [("enter", "own", thread, function.__name__), ("exit", "own", thread, function.__name__)]
    assert (thread == threading.get_ident()) == (
        isolation == "loop" or (isolation is None and function is coroutine)
    )


def test_the_hooks_of_process_runtime_and_supervisor_are_entered_in_this_order() -> None:
    log: list[tuple[str, str, int, str]] = []
    seen: list[Any] = []
    around_every_job(Hook("process", log))
    with Runtime(name="runtime-around", around=Hook("runtime", log)):
        tasks = TaskSupervisor.start(around=Hook("supervisor", log))
        for start in (tasks.start_child, Task.start):
            for function in (plain, coroutine):
                child = start(function, seen)
                assert isinstance(child, Child)
                assert on_loop(child.wait).kind == "normal"
    every = ("process", "runtime", "supervisor")
    assert [inside for inside, _ in seen] == [every, every, every[:2], every[:2]]
    assert [(kind, name) for kind, name, *_ in log][:6] == [
        *(("enter", name) for name in every),
        *(("exit", name) for name in reversed(every)),
    ]


def test_a_hook_of_the_process_reaches_supervisors_that_run_and_is_there_once() -> None:
    log: list[tuple[str, str, int, str]] = []
    seen: list[Any] = []
    hook = Hook("late", log)

    async def main() -> None:
        async with TaskSupervisor.start() as tasks:
            for _ in range(2):
                around_every_job(hook)
            for function in (plain, coroutine):
                await tasks.async_(function, seen)
            around.no_longer_around(hook)
            await tasks.async_(coroutine, seen)

    asyncio.run(main())
    assert [inside for inside, _ in seen] == [("late",), ("late",), ()]


def test_each_attempt_has_an_entry_of_its_own() -> None:
    log: list[tuple[str, str, int, str]] = []
    attempts: list[int] = []

    def twice() -> None:
        attempts.append(1)
        if len(attempts) == 1:
            raise ValueError("once")

    async def main() -> None:
        async with TaskSupervisor.start(around=Hook("own", log)) as tasks:
            child = tasks.start_child(twice, restart="transient")
            assert isinstance(child, Child)
            await child.wait()

    asyncio.run(main())
    assert [kind for kind, *_ in log] == ["enter", "exit", "enter", "exit"]


def test_the_hook_is_left_when_the_job_is_cancelled_and_when_its_thread_is_abandoned() -> None:
    log: list[tuple[str, str, int, str]] = []
    gate = threading.Event()
    left = threading.Event()

    @contextmanager
    def hook() -> Iterator[None]:
        with Hook("own", log)():
            yield
        left.set()

    async def main() -> None:
        async with TaskSupervisor.start(around=hook) as tasks:
            waiting = tasks.start_child(asyncio.sleep, 3600)
            stuck = tasks.start_child(gate.wait, 30, shutdown=0.01)
            assert isinstance(waiting, Child)
            assert isinstance(stuck, Child)
            while len(log) < 2:  # noqa: ASYNC110 - one of the two is a thread
                await asyncio.sleep(0.001)
            await tasks.terminate_child(waiting)
            assert log[-1][:2] == ("exit", "own")
            await tasks.terminate_child(stuck)
            assert stuck.state == "abandoned"
            gate.set()

    logging.disable()
    try:
        asyncio.run(main())
    finally:
        logging.disable(logging.NOTSET)
    assert left.wait(10)


@pytest.mark.parametrize("where", ["call", "enter", "exit", "no manager"])
@pytest.mark.parametrize("function", [plain, coroutine])
def test_an_error_of_the_hook_is_the_attempts_and_no_thread_or_name_stays(
    where: str, function: Callable[[list[Any]], Any], caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Any] = []

    @contextmanager
    def manager() -> Iterator[None]:
        if where == "enter":
            raise ValueError("at the entry")
        yield
        if where == "exit":
            raise ValueError("at the exit")

    def hook() -> Any:
        if where == "call":
            raise ValueError("at the call")
        return object() if where == "no manager" else manager()

    async def main() -> None:
        async with TaskSupervisor.start(around=hook) as tasks:
            child = tasks.start_child(function, seen)
            assert isinstance(child, Child)
            ended = await child.wait()
            assert ended.kind == "crash"
            assert isinstance(ended.error, TypeError if where == "no manager" else ValueError)

    with caplog.at_level(logging.CRITICAL + 1, "inprocess"):
        asyncio.run(main())
    assert len(seen) == (where == "exit")


def test_a_hook_that_swallows_the_error_ends_the_job_normally() -> None:
    @contextmanager
    def hook() -> Iterator[None]:
        with pytest.raises(ValueError, match="mine"):
            yield

    def fail() -> None:
        raise ValueError("mine")

    async def fail_async() -> None:
        raise ValueError("mine")

    async def main() -> None:
        async with TaskSupervisor.start(around=hook) as tasks:
            assert await tasks.async_(fail) is None  # type: ignore[func-returns-value]
            assert await tasks.async_(fail_async) is None  # type: ignore[func-returns-value]

    asyncio.run(main())


def test_what_is_no_hook_is_refused_where_it_is_given() -> None:
    for given in ("text", around.entered(())):
        with pytest.raises(TypeError, match="expected a function that returns a new context manager"):
            around_every_job(given)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="without the brackets"):
            Runtime(around=given)  # type: ignore[arg-type]

    async def main() -> None:
        with pytest.raises(TypeError, match="around is 'text'"):
            TaskSupervisor.start(around="text")  # type: ignore[arg-type]

    asyncio.run(main())
