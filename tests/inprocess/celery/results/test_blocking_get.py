"""`get()` is refused where it would wait for itself: on the run's own loop, and on no other."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from celery import Celery

from inprocess.celery import result, run_in_process


@pytest.fixture
def app() -> Celery:
    return Celery("getting", set_as_current=False)


def test_on_another_running_loop_get_brings_the_result(app: Celery) -> None:
    @app.task(shared=False)
    def double(x: int) -> int:
        return 2 * x

    @app.task(shared=False)
    async def double_async(x: int) -> int:
        await asyncio.sleep(0)
        return 2 * x

    async def cell_of_a_notebook() -> list[Any]:
        return [task.delay(21).get(timeout=20) for task in (double, double_async)]

    with run_in_process(app):
        assert asyncio.run(cell_of_a_notebook()) == [42, 42]


def test_on_the_runs_own_loop_get_is_refused_and_says_what_to_await(app: Celery) -> None:
    @app.task(shared=False)
    def double(x: int) -> int:
        return 2 * x

    @app.task(shared=False)
    async def asks(x: int) -> str:
        try:
            double.delay(x).get(timeout=20, disable_sync_subtasks=False)
        except RuntimeError as error:
            return str(error)
        return "not refused"

    async def main() -> None:
        async with run_in_process(app):
            with pytest.raises(RuntimeError, match="the run's own event loop"):
                double.delay(1).get(timeout=20)
            assert await result(double.delay(1)) == 2

    asyncio.run(main())
    with run_in_process(app):
        assert "the run's own event loop" in asks.delay(1).get(timeout=20)
