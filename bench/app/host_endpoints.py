"""What the web hosts of both subjects have in common: the builds' app and that of an app of the user's own.

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

from bench.app.loop_lag import Ticker
from bench.process.asgi_server import PortTakenError, serve
from bench.process.parent_watch import end_with_parent
from bench.process.signals import exit_with_usage_error


class HostEndpoints:
    """The endpoints that say how a host is."""

    def __init__(self, side: str, pending_jobs: Callable[[], Awaitable[Mapping[str, str]]]) -> None:
        """`pending_jobs` tells where each accepted job is that has not ended."""
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
    """The answer where the build, or the user's code, raised: 500 with the error."""
    return JSONResponse({"error": f"{type(error).__name__}: {error}"}, status_code=500)


def be_host(
    module: str,
    description: str,
    make: Callable[[], Starlette],
    *,
    mendable: tuple[type[Exception], ...] = (),
) -> None:
    """Be the program `python -m module --port N --folder F`: serve until SIGTERM, then drain.

    What of `mendable` `make` raises ends it with one line and exit code 2, as does a port in use.
    """
    end_with_parent()
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--folder", type=Path, default=Path(), help="where app.json is written")
    options = parser.parse_args()
    try:
        app = make()
    except mendable as error:
        exit_with_usage_error(module, str(error))
    try:
        asyncio.run(serve(app, options.port, options.folder))
    except PortTakenError as error:
        exit_with_usage_error(module, str(error))
