"""`python -m bench.app.__main__ --port N --folder F`: the ASGI app that hosts a side, under uvicorn.

QUEUE_OR_TASK_SIDE names the side. `F/app.json` (url, pid) appears when the app listens. SIGTERM
drains: requests under way are answered, then the build's lifespan ends. A port in use or an
unknown side ends it at once with one line and exit code 2.

| request                | answer                                                              |
|------------------------|---------------------------------------------------------------------|
| POST /account-setup    | inserts the user, hands over: 202 {"id"}, 422 {"errors"}             |
| POST /users            | `create_user`: 201 {"id"}, 422 {"errors"}                            |
| PUT /sync/{owner}      | `start`: 204                                                         |
| DELETE /sync/{owner}   | `stop`: 204                                                          |
| GET /sync/{owner}      | `state`: 200 {"owner", "active", "balance", "last_run_at"}, or 404   |
| GET /held              | {job: where} of the accepted jobs that have not ended                |
| GET /lag               | [[t_ns, lag_ms], …] of the loop since the last call (`bench.app.loop_lag`) |
| GET /health            | 200 {"side", "pid"}                                                  |
| POST /odd              | an odd job for a fault, see `bench.app.fault_jobs.endpoint`                     |
| POST /owners           | many periodic owners, in-process: see `bench.app.owner_fleet.servers`           |

A refused hand-over is a 503 with the reason, any other error of the build a 500 with it.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from json import JSONDecodeError
from pathlib import Path
from typing import Any, NoReturn

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bench.app import builds
from bench.app.fault_jobs import endpoint as odd
from bench.app.loop_lag import Ticker
from bench.ledger import submissions
from bench.process.asgi_server import PortTakenError, serve
from bench.process.parent_watch import end_with_parent
from scenarios import database, settings, users
from scenarios.contract import RefusedError
from scenarios.users import ValidationError

SIDE_VARIABLE = "QUEUE_OR_TASK_SIDE"
#: Exit code for what the person who started the app can mend.
USAGE_ERROR = 2

_log = logging.getLogger(__name__)


class App:
    """The endpoints over one build."""

    def __init__(self, side: str, build: builds.Build) -> None:
        self.side = side
        self.build = build
        self.ticker = Ticker()

    def asgi(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/account-setup", self.set_up_account, methods=["POST"]),
                Route("/users", self.create_user, methods=["POST"]),
                Route("/sync/{owner}", self.sync, methods=["PUT", "DELETE"]),
                Route("/sync/{owner}", self.state),
                Route("/held", self.held),
                Route("/lag", self.lag),
                Route("/health", self.health),
                *odd.routes(self.side),
                *_owners(self.side),
            ],
            lifespan=self.lifespan,
            exception_handlers={
                ValidationError: _invalid,
                JSONDecodeError: _not_json,
                RefusedError: _refused,
                Exception: _failed,
            },
        )

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Host the build and measure the loop while the app serves."""
        await run_in_threadpool(database.create_tables)
        ticking = asyncio.create_task(self.ticker.run())
        try:
            async with self.build.lifespan():
                yield
        finally:
            ticking.cancel()

    async def set_up_account(self, request: Request) -> Response:
        """POST /account-setup."""
        user = await run_in_threadpool(users.create, await _params(request))
        with submissions.account_setup(user.id):
            if self.build.on_loop:
                self.build.account_setup.set_up_user_account(user)
            else:
                await run_in_threadpool(self.build.account_setup.set_up_user_account, user)
        return JSONResponse({"id": user.id}, status_code=202)

    async def create_user(self, request: Request) -> Response:
        """POST /users."""
        params = await _params(request)
        with submissions.welcome_email(params["id"]):
            user = await run_in_threadpool(self.build.welcome_email.create_user, params)
        return JSONResponse({"id": user.id}, status_code=201)

    async def sync(self, request: Request) -> Response:
        """PUT and DELETE /sync/{owner}."""
        sync = self.build.account_sync
        act = sync.start if request.method == "PUT" else sync.stop
        await run_in_threadpool(act, request.path_params["owner"])
        return Response(status_code=204)

    async def state(self, request: Request) -> Response:
        """GET /sync/{owner}."""
        state = await run_in_threadpool(self.build.account_sync.state, request.path_params["owner"])
        if state is None:
            return JSONResponse({"error": "this owner was never started"}, status_code=404)
        ran = state.last_run_at
        return JSONResponse(
            {
                "owner": state.owner,
                "active": state.active,
                "balance": state.balance,
                "last_run_at": ran.isoformat() if ran else None,
            }
        )

    async def held(self, _request: Request) -> Response:
        """GET /held."""
        return JSONResponse(dict(await run_in_threadpool(self.build.held)))

    async def lag(self, _request: Request) -> Response:
        """GET /lag."""
        return JSONResponse(self.ticker.take())

    async def health(self, _request: Request) -> Response:
        """GET /health."""
        return JSONResponse({"side": self.side, "pid": os.getpid()})


def _owners(side: str) -> list[Route]:
    if side != "inprocess":
        return []
    from bench.app.owner_fleet import servers  # late: each side imports its own build alone

    return servers.routes()


async def _params(request: Request) -> dict[str, Any]:
    """The user's parameters; the client may choose the id, which is how a run names its jobs."""
    params = await request.json()
    if not isinstance(params, dict):
        raise ValidationError({"params": ["must be a JSON object"]})
    params.setdefault("id", uuid.uuid4().hex)
    return params


async def _invalid(_request: Request, error: Exception) -> Response:
    return JSONResponse({"errors": getattr(error, "errors", {})}, status_code=422)


async def _not_json(_request: Request, error: Exception) -> Response:
    return JSONResponse({"errors": {"params": [f"is not JSON: {error}"]}}, status_code=422)


async def _refused(_request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, status_code=503)


async def _failed(_request: Request, error: Exception) -> Response:
    return JSONResponse({"error": f"{type(error).__name__}: {error}"}, status_code=500)


def main() -> None:
    """Read the command line and the environment, then serve."""
    end_with_parent()
    parser = argparse.ArgumentParser(
        prog="python -m bench.app.__main__", description="The app that hosts a side."
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--folder", type=Path, default=Path(), help="where app.json is written")
    options = parser.parse_args()
    side = os.environ.get(SIDE_VARIABLE, "")
    if side not in builds.PACKAGES:
        _give_up(f"{SIDE_VARIABLE} is {side!r}: expected one of {', '.join(builds.PACKAGES)}")
    try:
        settings.current()
        build = builds.load(side)
    except ValueError as error:  # a variable of the environment that this side cannot use
        _give_up(str(error))
    try:
        asyncio.run(serve(App(side, build).asgi(), options.port, options.folder))
    except PortTakenError as error:
        _give_up(str(error))


def _give_up(line: str) -> NoReturn:
    sys.stderr.write(f"bench.app.__main__: {line}\n")
    sys.exit(USAGE_ERROR)


if __name__ == "__main__":
    main()
