"""The web app that calls your tasks, on either side: `python -m … --port N --folder F`.

QUEUE_OR_TASK_SIDE names the side: `inprocess` runs the tasks in this process, `celery-app` sends them to
the broker. `F/app.json` (url, pid) appears when it listens. SIGTERM drains, as `bench.app.__main__` does.

| request     | answer                                                                 |
|-------------|------------------------------------------------------------------------|
| POST /tasks | {"id", "task", "args", "kwargs"}: `apply_async`, see below; 202 {"id"} |
| GET /held   | {job: where} of the accepted jobs that have not ended                  |
| GET /lag    | [[t_ns, lag_ms], …] of the loop since the last call (`bench.app.loop_lag`)   |
| GET /health | 200 {"side", "pid"}                                                    |

The call is made on a thread, as a web framework makes it from a plain function, and `id` is its Celery id.
A hand-over that raises is a 503 with the error.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn

from celery import Celery
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bench.app.loop_lag import Ticker
from bench.ledger import submissions
from bench.own_app.children import rebound_app
from bench.own_app.children.loading import AppError
from bench.own_app.children.recording import Recorder, recorder
from bench.process.asgi_server import PortTakenError, serve
from bench.process.parent_watch import end_with_parent
from scenarios.ledger import CONTEXT_VARIABLE

#: The side whose tasks run in this process.
INPROCESS = "inprocess"
#: Where a call is held that this process runs or will run.
IN_MEMORY = "memory"
#: Exit code for what the person who started the host can mend.
USAGE_ERROR = 2


class Host:
    """The endpoints over one app."""

    def __init__(self, side: str, app: Celery, recording: Recorder, options: dict[str, Any]) -> None:
        self.side = side
        self._app = app
        self._recording = recording
        self._options = options
        self._ticker = Ticker()

    def asgi(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/tasks", self.call, methods=["POST"]),
                Route("/held", self.held),
                Route("/lag", self.lag),
                Route("/health", self.health),
            ],
            lifespan=self.lifespan,
            exception_handlers={Exception: _failed},
        )

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Run the tasks here, where the side says so, and measure the loop while the host serves."""
        ticking = asyncio.create_task(self._ticker.run())
        try:
            async with self._running():
                yield
        finally:
            ticking.cancel()

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

    async def held(self, _request: Request) -> Response:
        """GET /held."""
        if self.side == INPROCESS:
            return JSONResponse(dict.fromkeys(self._recording.open, IN_MEMORY))
        from bench.own_app.children.pending_jobs import held  # late: each side imports its own build alone

        return JSONResponse(await run_in_threadpool(held, self._app))

    async def lag(self, _request: Request) -> Response:
        """GET /lag."""
        return JSONResponse(self._ticker.take())

    async def health(self, _request: Request) -> Response:
        """GET /health."""
        return JSONResponse({"side": self.side, "pid": os.getpid()})

    def _running(self) -> AbstractAsyncContextManager[object]:
        if self.side != INPROCESS:
            return _nothing()
        from inprocess.celery import run_in_process  # late: each side imports its own build alone

        return run_in_process(self._app)


@asynccontextmanager
async def _nothing() -> AsyncIterator[None]:
    yield


async def _failed(_request: Request, error: Exception) -> Response:
    return JSONResponse({"error": f"{type(error).__name__}: {error}"}, status_code=500)


def main() -> None:
    """Read the command line and the environment, then serve."""
    end_with_parent()
    parser = argparse.ArgumentParser(
        prog="python -m bench.own_app.children.host", description="The host of your tasks."
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--folder", type=Path, default=Path(), help="where app.json is written")
    given = parser.parse_args()
    adoption = rebound_app.told()
    options = {"queue": adoption.queue} if adoption.queue else {}
    try:
        app = rebound_app.adopted(adoption)
        side = json.loads(os.environ[CONTEXT_VARIABLE])["side"]
        host = Host(side, app, recorder(), options)
        asyncio.run(serve(host.asgi(), given.port, given.folder))
    except (AppError, PortTakenError) as error:
        _give_up(str(error))


def _give_up(line: str) -> NoReturn:
    sys.stderr.write(f"bench.own_app.children.host: {line}\n")
    sys.exit(USAGE_ERROR)


if __name__ == "__main__":
    main()
