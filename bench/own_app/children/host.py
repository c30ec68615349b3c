"""The web app that calls the user's tasks, on either side: the program `host --port N --folder F`.

QUEUE_OR_TASK_CONTEXT names the side: `inprocess` runs the tasks in this process, `celery-app` sends them to
the broker. `F/app.json` (url, pid) appears when it listens. SIGTERM drains: running requests are answered,
then the tasks of this process end as `run_in_process` says.

| request     | response                                                                    |
|-------------|-----------------------------------------------------------------------------|
| POST /tasks | {"id", "task", "args", "kwargs"}: calls `apply_async`; 202 {"id"}            |
| GET /held   | {job: place} of the accepted calls that have not ended                      |
| GET /lag    | [[t_ns, lag_ms], …] of the loop since the last request (`bench.app.loop_lag`) |
| GET /health | {"side", "pid"}                                                             |

The call runs in a thread, as in a web framework that serves a plain function; `id` becomes its Celery id.
Where `apply_async` raises, the response is a 503 with the error.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

from celery import Celery

from bench.app.loop_lag import Ticker
from bench.ledger import submissions
from bench.own_app.children import rebound_app
from bench.own_app.children.json_server import JsonServer, Response, serve
from bench.own_app.children.loading import AppError
from bench.own_app.children.recording import Recorder, recorder
from bench.process.parent_watch import end_with_parent
from bench.process.signals import exit_with_usage_error
from scenarios.ledger import CONTEXT_VARIABLE

PROGRAM = "host"
#: The side whose tasks run in this process.
INPROCESS = "inprocess"
#: The place of a call that this process runs or will run.
IN_MEMORY = "memory"
#: Calls made at once, as in Starlette; further ones wait.
THREADS = 40


class Host:
    """The endpoints over one app."""

    def __init__(self, side: str, app: Celery, recording: Recorder, options: dict[str, Any]) -> None:
        """`options` go to every `apply_async`."""
        self.side = side
        self._app = app
        self._recording = recording
        self._options = options
        self._ticker = Ticker()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="call")

    async def run(self, port: int, folder: Path) -> None:
        """Serve until a signal; raise OSError where the port is in use."""
        server = JsonServer(
            {
                ("POST", "/tasks"): self._call,
                ("GET", "/held"): self._held,
                ("GET", "/lag"): self._lag,
                ("GET", "/health"): self._health,
            }
        )
        ticking = asyncio.create_task(self._ticker.run())
        try:
            async with self._tasks():
                await serve(server, port, folder)
        finally:
            ticking.cancel()

    async def _call(self, call: Any) -> Response:
        if not isinstance(call, dict):
            return Response(HTTPStatus.UNPROCESSABLE_ENTITY, {"error": "expected an object"})
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._apply, call)

    def _apply(self, call: dict[str, Any]) -> Response:
        task, name = self._app.tasks[call["task"]], str(call["id"])
        self._recording.open[name] = None
        try:
            with submissions.call(task.name, name):
                task.apply_async(call["args"], call["kwargs"], task_id=name, **self._options)
        except Exception as error:  # noqa: BLE001 - a broker, a serializer or the user's code may raise anything
            self._recording.open.pop(name, None)
            return Response(HTTPStatus.SERVICE_UNAVAILABLE, {"error": f"{type(error).__name__}: {error}"})
        return Response(HTTPStatus.ACCEPTED, {"id": name})

    async def _held(self, _body: Any) -> Response:
        return Response(HTTPStatus.OK, await self._pending_jobs())

    async def _lag(self, _body: Any) -> Response:
        return Response(HTTPStatus.OK, self._ticker.take())

    async def _health(self, _body: Any) -> Response:
        return Response(HTTPStatus.OK, {"side": self.side, "pid": os.getpid()})

    async def _pending_jobs(self) -> dict[str, str]:
        if self.side == INPROCESS:
            return dict.fromkeys(self._recording.open, IN_MEMORY)
        from bench.own_app.children.pending_jobs import pending_jobs  # late: imports `celery_impl`

        return await asyncio.to_thread(pending_jobs, self._app)

    def _tasks(self) -> AbstractAsyncContextManager[object]:
        """What runs the tasks for as long as the host serves."""
        if self.side != INPROCESS:
            return _nothing()
        from inprocess.celery import run_in_process  # late: each side imports its own build alone

        return run_in_process(self._app)


@asynccontextmanager
async def _nothing() -> AsyncIterator[None]:
    yield


def _import_build(side: str) -> None:
    """Import what the side needs of ours before the app's packages come first on the path."""
    if side == INPROCESS:
        import inprocess.celery  # noqa: F401
    else:
        with suppress(ModuleNotFoundError):  # an app on its own RabbitMQ may do without redis-py
            import bench.own_app.children.pending_jobs  # noqa: F401


def make() -> Host:
    """The host that the environment describes; raise AppError for an app that cannot be used."""
    side = json.loads(os.environ[CONTEXT_VARIABLE])["side"]
    _import_build(side)
    spec = rebound_app.from_environment()
    app = rebound_app.load_app(spec)
    return Host(side, app, recorder(), {"queue": spec.queue} if spec.queue else {})


def main() -> None:
    """Read the command line and the environment, then serve."""
    end_with_parent()
    parser = argparse.ArgumentParser(prog=PROGRAM, description="The host of the app's tasks.")
    parser.add_argument("--port", type=int, default=0, help="0 for a free one")
    parser.add_argument("--folder", type=Path, default=Path(), help="where app.json is written")
    options = parser.parse_args()
    try:
        asyncio.run(make().run(options.port, options.folder))
    except (AppError, OSError) as error:
        exit_with_usage_error(PROGRAM, str(error))
