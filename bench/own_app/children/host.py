"""The web app that calls your tasks, on either side: `python -m … --port N --folder F`.

QUEUE_OR_TASK_SIDE names the side: `inprocess` runs the tasks in this process, `celery-app` sends them to
the broker. `F/app.json` (url, pid) appears when it listens. SIGTERM drains, as `bench.app` does.

| request     | answer                                                                 |
|-------------|------------------------------------------------------------------------|
| POST /tasks | {"id", "task", "args", "kwargs"}: `apply_async`, see below; 202 {"id"} |
| GET …       | /held, /lag and /health: see `bench.app.host_endpoints`                |

The call is made on a thread, as a web framework makes it from a plain function, and `id` is its Celery id.
A hand-over that raises is a 503 with the error.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from celery import Celery
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bench.app.host_endpoints import HostEndpoints, failed, run_host
from bench.ledger import submissions
from bench.own_app.children import rebound_app
from bench.own_app.children.loading import AppError
from bench.own_app.children.recording import Recorder, recorder
from scenarios.ledger import CONTEXT_VARIABLE

#: The side whose tasks run in this process.
INPROCESS = "inprocess"
#: Where a call is held that this process runs or will run.
IN_MEMORY = "memory"


class Host:
    """The endpoints over one app."""

    def __init__(self, side: str, app: Celery, recording: Recorder, options: dict[str, Any]) -> None:
        self.side = side
        self._app = app
        self._recording = recording
        self._options = options
        self._endpoints = HostEndpoints(side, self._pending_jobs)

    def asgi(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/tasks", self.call, methods=["POST"]),
                *self._endpoints.routes(),
            ],
            lifespan=self.lifespan,
            exception_handlers={Exception: failed},
        )

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Run the tasks here, where the side says so, and measure the loop while the host serves."""
        async with self._endpoints.measured(), self._running():
            yield

    async def call(self, request: Request) -> Response:
        """POST /tasks."""
        asked = await request.json()
        if not isinstance(asked, dict):
            return JSONResponse({"error": "expected an object"}, status_code=422)
        return await run_in_threadpool(self._call, asked)

    def _call(self, asked: dict[str, Any]) -> Response:
        task, name = self._app.tasks[asked["task"]], str(asked["id"])
        self._recording.open[name] = None
        try:
            with submissions.call(task.name, name):
                task.apply_async(asked["args"], asked["kwargs"], task_id=name, **self._options)
        except Exception as error:  # noqa: BLE001 - whatever a broker, a serializer or the app's code raises
            self._recording.open.pop(name, None)
            return JSONResponse({"error": f"{type(error).__name__}: {error}"}, status_code=503)
        return JSONResponse({"id": name}, status_code=202)

    async def _pending_jobs(self) -> dict[str, str]:
        if self.side == INPROCESS:
            return dict.fromkeys(self._recording.open, IN_MEMORY)
        from bench.own_app.children.pending_jobs import (
            pending_jobs,
        )  # late: each side imports its own build alone

        return await run_in_threadpool(pending_jobs, self._app)

    def _running(self) -> AbstractAsyncContextManager[object]:
        if self.side != INPROCESS:
            return _nothing()
        from inprocess.celery import run_in_process  # late: each side imports its own build alone

        return run_in_process(self._app)


@asynccontextmanager
async def _nothing() -> AsyncIterator[None]:
    yield


def make() -> Starlette:
    """The host that the environment tells of; raise AppError for an app that cannot be used."""
    spec = rebound_app.from_environment()
    app = rebound_app.load_app(spec)
    side = json.loads(os.environ[CONTEXT_VARIABLE])["side"]
    options = {"queue": spec.queue} if spec.queue else {}
    return Host(side, app, recorder(), options).asgi()


def main() -> None:
    """Read the command line and the environment, then serve."""
    run_host("bench.own_app.children.host", "The host of your tasks.", make, usage_errors=(AppError,))


if __name__ == "__main__":
    main()
