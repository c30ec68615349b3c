"""Many periodic owners in-process: a `Periodic` each, under the supervisor of the sync's own servers.

POST /owners {`OwnerFleet`}: starts them all, then answers {"start_s": seconds that it took}.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bench.plan.owner_fleet import OwnerFleet, owner
from inprocess import account_sync, application
from inprocess.supervision.core.errors import Refused
from inprocess.supervision.periodic.periodic import Periodic
from inprocess.supervision.supervisors.supervisor import ChildSpec, Supervisor
from inprocess.supervision.tasks.child import Child
from inprocess.supervision.tasks.task_supervisor import TaskSupervisor
from scenarios import jobs, ledger

#: Owners started before the loop does something else in between.
AT_ONCE = 500


def routes() -> list[Route]:
    """The endpoint."""
    return [Route("/owners", _owners, methods=["POST"])]


async def _owners(request: Request) -> Response:
    began = time.monotonic()
    await start(OwnerFleet(**await request.json()))
    return JSONResponse({"start_s": time.monotonic() - began})


async def start(fleet: OwnerFleet) -> None:
    """Start every owner on one grid, which begins now."""
    servers, runs = application.process(account_sync.SERVERS), application.process(account_sync.RUNS)
    assert isinstance(servers, Supervisor)  # noqa: S101 - the tree says so
    assert isinstance(runs, TaskSupervisor)  # noqa: S101 - the tree says so
    t0 = asyncio.get_running_loop().time()
    for number in range(fleet.owners):
        name = owner(number)
        spawn = partial(_spawn, runs, name, number % fleet.every == 0)
        make = partial(Periodic.start, spawn, interval_s=fleet.interval_s, t0=t0)
        await servers.start_child(ChildSpec(name, make))
        if number % AT_ONCE == 0:
            await asyncio.sleep(0)


def _spawn(runs: TaskSupervisor, name: str, noted: bool) -> Child | Refused:  # noqa: FBT001 - of a partial
    return runs.start_child(_note if noted else _nothing, name, name=jobs.sync(name))


async def _note(name: str) -> None:
    with ledger.attempt(jobs.ACCOUNT_SYNC, jobs.sync(name)):
        pass


async def _nothing(_name: str) -> None:
    pass
