"""Endpoints and start-up of the app that hosts a side.

| request     | answer                                                         |
|-------------|----------------------------------------------------------------|
| GET /held   | {job: where} of the accepted jobs that have not ended          |
| GET /lag    | [[t_ns, lag_ms], …] of the loop since the last call (`loop_lag`) |
| GET /health | 200 {"side", "pid"}                                            |
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bench.app import other_hosts
from bench.app.builds import HOST_VARIABLE
from bench.app.loop_lag import Ticker
from bench.process.asgi_server import PortTakenError, serve
from bench.process.parent_watch import end_with_parent
from bench.process.signals import exit_with_usage_error


class HostEndpoints:
    """The endpoints of the module's table."""

    def __init__(self, side: str, pending_jobs: Callable[[], Awaitable[Mapping[str, str]]]) -> None:
        """`pending_jobs` returns where each accepted job is that has not ended."""
        self.side = side
        self._pending_jobs = pending_jobs
        self._ticker = Ticker()

    def routes(self) -> list[Route]:
        """The requests of the module's table."""
        return [Route("/held", self._held), Route("/lag", self._lag), Route("/health", self._health)]

    @asynccontextmanager
    async def measured(self) -> AsyncIterator[None]:
        """Measure the lag of the running loop."""
        ticking = asyncio.create_task(self._ticker.run())
        try:
            yield
        finally:
            ticking.cancel()

    async def _held(self, _request: Request) -> Response:
        return JSONResponse(dict(await self._pending_jobs()))

    async def _lag(self, _request: Request) -> Response:
        return JSONResponse(self._ticker.take())

    async def _health(self, _request: Request) -> Response:
        return JSONResponse({"side": self.side, "pid": os.getpid()})


async def failed(_request: Request, error: Exception) -> Response:
    """The response where the build raised: 500 with the error."""
    return JSONResponse({"error": f"{type(error).__name__}: {error}"}, status_code=500)


def run_host(
    module: str,
    description: str,
    make: Callable[[], Starlette],
    *,
    usage_errors: tuple[type[Exception], ...] = (),
) -> None:
    """Run the program `python -m module --port N --folder F`: serve until SIGTERM, then drain.

    An error of `usage_errors` from `make`, and a port in use, end it with one line and exit code 2.
    """
    end_with_parent()
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--folder", type=Path, default=Path(), help="where app.json is written")
    options = parser.parse_args()
    host = os.environ.get(HOST_VARIABLE, "")
    if host == other_hosts.PRELOAD:
        other_hosts.serve_preloaded(make, options.port, options.folder)
        return
    try:
        app = make()
    except usage_errors as error:
        exit_with_usage_error(module, str(error))
    try:
        if host == other_hosts.RUNTIME:
            other_hosts.serve_with_uvicorn(app, options.port, options.folder)
        else:
            asyncio.run(serve(app, options.port, options.folder))
    except PortTakenError as error:
        exit_with_usage_error(module, str(error))
