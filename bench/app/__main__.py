"""`python -m bench.app --port N --folder F`: the ASGI app that hosts a side, under uvicorn.

QUEUE_OR_TASK_SIDE names the side. `F/app.json` (url, pid) appears when the app listens. SIGTERM
drains: requests under way are answered, then the build's lifespan ends. A port in use or an
unknown side ends it at once with one line and exit code 2.

| request                | answer                                                              |
|------------------------|---------------------------------------------------------------------|
| POST /account-setup    | inserts the user, hands over: 202 {"id"}, 422 {"errors"}             |
| POST /users            | inserts the user, hands the e-mail over: 201 {"id"}, 422 {"errors"}  |
| PUT /sync/{owner}      | `start`: 204                                                         |
| DELETE /sync/{owner}   | `stop`: 204                                                          |
| GET /sync/{owner}      | `state`: 200 {"owner", "active", "balance", "last_run_at"}, or 404   |
| GET /held, lag, health | see `host_endpoints`                                                 |
| POST /fault-jobs       | submits a fault job, see `fault_jobs.endpoint`                       |
| POST /owners           | many periodic owners, in-process: see `owner_fleet.servers`          |

A refused hand-over is a 503 with the reason, any other error of the build a 500 with it.
"""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from json import JSONDecodeError
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bench.app import builds
from bench.app.fault_jobs import endpoint
from bench.app.host_endpoints import HostEndpoints, failed, run_host
from bench.ledger import submissions
from scenarios import database, settings, users
from scenarios.contract import RefusedError
from scenarios.users import User, ValidationError

SIDE_VARIABLE = "QUEUE_OR_TASK_SIDE"

_log = logging.getLogger(__name__)


class App:
    """The endpoints over one build."""

    def __init__(self, side: str, build: builds.Build) -> None:
        self.side = side
        self.build = build
        self.endpoints = HostEndpoints(side, partial(run_in_threadpool, build.pending_jobs))

    def asgi(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/account-setup", self.set_up_account, methods=["POST"]),
                Route("/users", self.create_user, methods=["POST"]),
                Route("/sync/{owner}", self.sync, methods=["PUT", "DELETE"]),
                Route("/sync/{owner}", self.state),
                *self.endpoints.routes(),
                *endpoint.routes(self.side),
                *_owners(self.side),
            ],
            lifespan=self.lifespan,
            exception_handlers={
                ValidationError: _invalid,
                JSONDecodeError: _not_json,
                RefusedError: _refused,
                Exception: failed,
            },
        )

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Host the build and measure the loop while the app serves."""
        await run_in_threadpool(database.create_tables)
        async with self.endpoints.measured(), self.build.lifespan():
            yield

    async def set_up_account(self, request: Request) -> Response:
        """POST /account-setup."""
        user = await run_in_threadpool(users.create, await _params(request))
        with submissions.account_setup(user.id):
            await self._hand_over(self.build.account_setup.set_up_user_account, user)
        return JSONResponse({"id": user.id}, status_code=202)

    async def create_user(self, request: Request) -> Response:
        """POST /users."""
        user = await run_in_threadpool(users.create, await _params(request))
        with submissions.welcome_email(user.id):
            await self._hand_over(self.build.welcome_email.send_welcome_email, user)
        return JSONResponse({"id": user.id}, status_code=201)

    async def _hand_over(self, call: Callable[[User], None], user: User) -> None:
        if self.build.on_loop:
            call(user)
        else:
            await run_in_threadpool(call, user)

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


def _owners(side: str) -> list[Route]:
    if side != "inprocess":
        return []
    from bench.app.owner_fleet import servers  # late: each side imports its own build alone

    return servers.routes()


async def _params(request: Request) -> dict[str, Any]:
    """The user's parameters; the client may choose the id, by which a run names its jobs."""
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


def make() -> Starlette:
    """The app of the side that the environment names; raise ValueError for an unknown one."""
    side = os.environ.get(SIDE_VARIABLE, "")
    if side not in builds.PACKAGES:
        raise ValueError(f"{SIDE_VARIABLE} is {side!r}: expected one of {', '.join(builds.PACKAGES)}")
    settings.current()
    return App(side, builds.load(side)).asgi()


def main() -> None:
    """Read the command line and the environment, then serve."""
    run_host("bench.app", "The app that hosts a side.", make, usage_errors=(ValueError,))


if __name__ == "__main__":
    main()
