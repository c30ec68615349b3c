"""Coroutine tasks: awaited on the app's loop, with Celery's retries, results and request."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery, chain, current_task
from celery.exceptions import SoftTimeLimitExceeded, TaskRevokedError, TimeLimitExceeded

from inprocess.celery import InProcess, result, run_in_process

PATIENCE_S = 20.0

Got = Callable[[Any], Any]
Make = Callable[..., Any]


def test_a_coroutine_task_runs_on_the_runs_loop(run: InProcess, app: Any, got: Got) -> None:
    @app.task
    async def where() -> list[Any]:
        await asyncio.sleep(0)
        return [threading.current_thread().name, asyncio.get_running_loop() is run.tree.loop]

    assert got(where.delay()) == [run.name, True]


@pytest.mark.usefixtures("run")
def test_each_of_many_at_once_has_its_own_request(app: Any, got: Got) -> None:
    async def inner() -> Any:
        await asyncio.sleep(0.001)
        return current_task.request.id

    @app.task(bind=True)
    async def mine(self: Any) -> list[str]:
        before = self.request.id
        in_a_task = await asyncio.create_task(inner())
        in_a_thread = await asyncio.to_thread(lambda: self.request.id)
        return [before, in_a_task, in_a_thread, self.request.id]

    results = [mine.delay() for _ in range(50)]
    assert [got(sent) for sent in results] == [[sent.id] * 4 for sent in results]


@pytest.mark.usefixtures("run")
def test_it_retries_and_fails_as_any_task(app: Any, got: Got) -> None:
    @app.task(bind=True, max_retries=3)
    async def third_time(self: Any) -> int:
        await asyncio.sleep(0)
        if self.request.retries < 2:
            raise self.retry(countdown=0)
        return int(self.request.retries)

    @app.task(autoretry_for=(OSError,), default_retry_delay=0, max_retries=1)
    async def never() -> None:
        await asyncio.sleep(0)
        raise OSError("down")

    assert got(third_time.delay()) == 2
    with pytest.raises(OSError, match="down"):
        got(never.delay())


@pytest.mark.usefixtures("run")
def test_it_takes_part_in_a_chain_with_plain_tasks(app: Any, make: Make, got: Got) -> None:
    @app.task
    async def double(x: int) -> int:
        await asyncio.sleep(0)
        return 2 * x

    assert got(chain(make(lambda: 4, name="four").s(), double.s(), double.s()).delay()) == 16


@pytest.mark.usefixtures("run")
def test_called_directly_it_is_a_coroutine_as_ever(app: Any, got: Got) -> None:
    @app.task
    async def one() -> int:
        return 1

    @app.task
    async def both() -> int:
        return int(await one() + await one())

    assert got(both.delay()) == 2
    assert asyncio.run(one()) == 1


@pytest.mark.usefixtures("run")
def test_a_soft_limit_is_raised_where_it_waits(app: Any, got: Got) -> None:
    @app.task(soft_time_limit=0.05)
    async def slow() -> str:
        try:
            await asyncio.sleep(PATIENCE_S)
        except SoftTimeLimitExceeded:
            await asyncio.sleep(0)
            return "in time"
        return "never"

    assert got(slow.delay()) == "in time"


@pytest.mark.usefixtures("run")
def test_a_hard_limit_and_a_termination_cancel_it(app: Any, got: Got) -> None:
    cancelled = threading.Semaphore(0)
    began = threading.Event()

    async def stuck() -> None:
        began.set()
        try:
            await asyncio.sleep(PATIENCE_S)
        finally:
            cancelled.release()

    limited = app.task(time_limit=0.05, name="limited")(stuck)
    with pytest.raises(TimeLimitExceeded):
        got(limited.delay())
    assert cancelled.acquire(timeout=PATIENCE_S)
    began.clear()
    sent = app.task(name="unlimited")(stuck).delay()
    assert began.wait(PATIENCE_S)
    sent.revoke(terminate=True)
    with pytest.raises(TaskRevokedError):
        got(sent)
    assert cancelled.acquire(timeout=PATIENCE_S)


def test_plain_tasks_do_not_wait_for_the_slots_of_coroutine_tasks(
    run: InProcess, app: Any, make: Make, got: Got
) -> None:
    opened = asyncio.Event()

    @app.task
    async def waits() -> None:
        await opened.wait()

    waiting = [waits.delay() for _ in range(100)]
    assert got(make(lambda: 1, name="quick").delay()) == 1
    run.tree.loop.call_soon_threadsafe(opened.set)
    for sent in waiting:
        got(sent)


def test_on_the_apps_own_loop_results_are_awaited(app: Any, make: Make) -> None:
    add = make(lambda x, y: x + y, name="add")

    @app.task
    async def nested(x: int) -> Any:
        return await result(add.delay(x, 1)) * 10

    async def main() -> None:
        async with run_in_process(app, grace_s=0) as run:  # one job waits for 1000 s
            assert run.tree.loop is asyncio.get_running_loop()
            assert await result(add.delay(1, 2)) == 3
            assert await result(nested.delay(4), timeout_s=PATIENCE_S) == 50
            with pytest.raises(RuntimeError, match="would stop the loop"):
                add.apply_async((1, 2), countdown=1000).get(timeout=1)

    asyncio.run(main())


@pytest.mark.usefixtures("run")
def test_after_the_run_the_task_is_what_it_was(app: Any) -> None:
    other: Any = Celery("other", set_as_current=False)

    @other.task(shared=False)
    async def one() -> int:
        return 1

    with run_in_process(other):
        assert one.delay().get(timeout=PATIENCE_S) == 1
    assert not hasattr(one.run, "unbridged")
    assert asyncio.run(one()) == 1
    assert app.main != other.main
