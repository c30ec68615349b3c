"""An app of somebody's own on both sides: what each call becomes in the ledger."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.hooks import COMPLETION
from bench.measures.faults.failure import judge
from bench.own_app import effects, task_counts
from bench.own_app.app_inspection import inspect_app
from bench.own_app.interpreter import inspect
from bench.own_app.own_app import OwnApp
from bench.own_app.own_stack import OwnStack
from bench.own_app.sides import CELERY_APP, SIDES
from bench.own_app.workload.workload import from_options
from bench.plan.subject import SideOptions, Workspace
from bench.process.asgi_server import listening_socket, port_of
from bench.process.process_table import ProcessTable

HERE = inspect(Path(sys.executable))
#: Seconds that anything awaited here may take.
PATIENCE_S = 30.0
APP = """
    import sys
    from celery import Celery
    from bench.hooks import effect

    app = Celery("odd", broker="redis://127.0.0.1:{port}/0", backend="redis://127.0.0.1:{port}/1")
    app.conf.update(worker_concurrency=2, task_routes={{"odd.noted": "mail"}}, broker_use_ssl=True)

    @app.task
    def plain(n): return n

    @app.task
    def noted(n): effect("mail", n)

    @app.task
    def doubled(n): effect("mail", n); effect("mail", n); effect("row", n)

    @app.task
    def failing(n): raise ValueError("no such order")

    @app.task(bind=True)
    def retried(self, n):
        if not self.request.retries:
            raise self.retry(countdown=0)

    @app.task
    def parent(n): noted.delay(n)

    @app.task
    def exiting(n): sys.exit(3)
"""
TASKS = ("plain", "noted", "doubled", "failing", "retried", "parent", "exiting")
Run = Callable[[OwnStack], Awaitable[Any]]


@pytest.fixture
def own(project: Any) -> Any:
    """The app above, whose own broker is a port that says nothing."""
    with listening_socket() as silent:
        folder = project(odd=APP.format(port=port_of(silent)))
        workload = from_options(app="odd:app", tasks=[f"odd.{name}" for name in TASKS], args=["[1]"])
        calls: dict[str, Sequence[Any]] = {name: [] for name in workload.names}
        description = inspect_app("odd:app", folder, calls, interpreter=HERE, reach=False)
        yield OwnApp(workload=workload, folder=folder, description=description, entries={}, interpreter=HERE)


def run(own: OwnApp, side: str, tmp_path: Path, work: Run) -> list[dict[str, Any]]:
    """Start the side, which calls each task once, do the work, and return the block's events."""

    async def block(table: ProcessTable) -> list[dict[str, Any]]:
        folder = tmp_path / side
        folder.mkdir()
        context = {"run": "test", "block": "b0", "side": side}
        workspace = Workspace(folder=folder, table=table, context=context)
        async with OwnStack(own, SIDES[side], workspace, SideOptions()) as stack:
            await work(stack)
            return stack.events()

    with ProcessTable() as table:
        return asyncio.run(block(table))


def ended(events: Sequence[dict[str, Any]]) -> bool:
    """Whether each call has had its effect or was given up."""
    jobs = {event["job"] for event in events if event["event"] == "accepted"}
    return jobs <= {event["job"] for event in events if event["event"] in {"effect", "failed"}}


def classes(events: list[dict[str, Any]]) -> dict[str, str]:
    """The class of each task's one call."""
    found = {}
    for name in TASKS:
        judged = judge(effects.counted(events), scenario=f"odd.{name}", deadline_ms=1e6)
        found[name] = " ".join(kind for kind, jobs in judged.classes.items() if jobs)
    return found


@pytest.mark.parametrize("side", ["inprocess", CELERY_APP])
def test_every_call_is_counted_for_what_it_became(own: OwnApp, side: str, tmp_path: Path) -> None:
    async def work(stack: OwnStack) -> None:
        assert await stack.until(ended, within_s=PATIENCE_S), classes(stack.events())

    events = run(own, side, tmp_path, work)

    assert classes(events) == {
        "plain": "done_once",
        "noted": "done_once",
        "doubled": "duplicated",
        "failing": "failed_visibly",
        "retried": "done_once",
        "parent": "done_once",
        "exiting": "failed_visibly",
    }
    found: dict[str, Any] = {}
    task_counts._add(found, effects.counted(events))
    assert found["odd.exiting"].exits == 1
    assert found["odd.failing"].first_failure == "ValueError: no such order"
    assert found["odd.plain"].effects == {COMPLETION: 1}
    assert found["odd.doubled"].effects == {"mail": 2}
    starts = [
        event["attempt"]
        for event in events
        if event["event"] == "start" and event["scenario"] == "odd.retried"
    ]
    assert starts == [1, 2]


def test_a_call_that_waits_is_held_in_the_queue_and_the_apps_own_servers_are_not_touched(
    own: OwnApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = tmp_path / "theirs.db"
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{database}")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")

    async def work(stack: OwnStack) -> None:
        await stack.until(ended, within_s=PATIENCE_S)
        await stack.processes.parts["worker"].stop()
        body = {"id": "b0-late", "task": "odd.noted", "args": [1], "kwargs": {}}
        assert (await stack.client.call("POST", "/tasks", json=body)).status_code == 202
        held = (await stack.client.call("GET", "/held")).json()
        assert held["b0-late"] == "queue"

    run(own, CELERY_APP, tmp_path, work)
    assert not database.exists()


SIDEKIQ = """
    from celery import Celery, current_app
    from celery_impl.sidekiq import Sidekiq

    made = Celery("hard", broker="lease+redis://127.0.0.1:{port}/0")
    made.conf.update(task_acks_late=True, worker_prefetch_multiplier=1, worker_concurrency=1)
    Sidekiq(made)
    made.set_default()
    app = current_app

    @app.task(name="hard.plain")
    def plain(n): return n

    @app.task(name="hard.later", bind=True)
    def later(self, n):
        if self.request.retries == 0:
            raise self.retry(countdown=0.2)
"""


@pytest.mark.parametrize("side", ["inprocess", CELERY_APP])
def test_an_app_with_sidekiq_behind_a_proxy_is_measured_on_both_sides_under_a_lease(
    project: Any, side: str, tmp_path: Path
) -> None:
    with listening_socket() as silent:
        folder = project(hard=SIDEKIQ.format(port=port_of(silent)))
    workload = from_options(app="hard:app", tasks=["hard.plain", "hard.later"], args=["[1]"])
    calls: dict[str, Sequence[Any]] = {name: [] for name in workload.names}
    description = inspect_app("hard:app", folder, calls, interpreter=HERE, reach=False)
    hard = OwnApp(workload=workload, folder=folder, description=description, entries={}, interpreter=HERE)
    brokers: list[str] = []

    async def work(stack: OwnStack) -> None:
        assert await stack.until(ended, within_s=PATIENCE_S)
        brokers.append(stack.processes.env["CELERY_BROKER_URL"])

    events = run(hard, side, tmp_path, work)

    assert description.broker.startswith("lease+redis://")
    assert brokers[0].startswith("memory://" if side == "inprocess" else "lease+redis://127.0.0.1:")
    assert sorted(event["scenario"] for event in events if event["event"] == "effect") == [
        "hard.later",
        "hard.plain",
    ]
