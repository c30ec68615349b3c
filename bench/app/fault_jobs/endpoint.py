"""POST /fault-jobs {"kind", "key", "options"}: submits a fault job inside the app, as a request would.

202 where it was accepted, 503 where it was refused, 500 for any other error of the build.
`options`: those of `bench.app.fault_jobs.work`, and

- times: how often the same job is submitted; the status is that of the last;
- as: "unique" or "stored", or "chain", "link" or "chord" for a job that another one follows, for a queue;
- isolation: where it runs, in-process;
- rollback: submit within a transaction that inserts the user, then roll that back: 409.

The kind `kill-scheduler` is no job: it kills the process that schedules the owner `key`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bench.app.fault_jobs import work
from bench.ledger import submissions
from bench.ledger.job_names import CHANGED
from scenarios import database, jobs, ledger

SCENARIO = jobs.ACCOUNT_SETUP
#: Names a file: with it, a journalled app that starts is the next version, see `renamed_task`.
RENAMED_VARIABLE = "QUEUE_OR_TASK_RENAMED_FILE"


class RolledBackError(RuntimeError):
    """The transaction in which the job was submitted was rolled back."""


def routes(side: str) -> list[Route]:
    """The endpoint, for a side with fault jobs."""
    if side == "inprocess-journal":
        _submit(side)  # its tasks must be known before their jobs of an earlier process can run
        if (switch := os.environ.get(RENAMED_VARIABLE)) and Path(switch).exists():
            from bench.app.fault_jobs import renamed_task  # noqa: F401 - late: it renames at its import

    async def fault_job(request: Request) -> Response:
        body = await request.json()
        key, kind, options = body["key"], body["kind"], body.get("options", {})
        if kind == "kill-scheduler":
            from bench.app.fault_jobs.children import kill_scheduler  # late: as `_submit`

            kill_scheduler(key)
            return Response(status_code=204)
        act = _roll_back if options.get("rollback") else _submit_job
        try:
            if side == "inprocess" and not options.get("rollback"):
                act(side, key, kind, options)
            else:
                await run_in_threadpool(act, side, key, kind, options)
        except RolledBackError as error:
            return JSONResponse({"error": str(error)}, status_code=409)
        return JSONResponse({"key": key}, status_code=202)

    return [Route("/fault-jobs", fault_job, methods=["POST"])]


def _submit_job(side: str, key: str, kind: str, options: dict[str, Any]) -> None:
    submit = _submit(side)
    for _ in range(int(options.get("times", 1))):
        payload = work.payload(kind, key, options)
        with ExitStack() as handed_over:
            for name in work.keys(key, options):
                handed_over.enter_context(submissions.fault_job(name))
            submit(key, kind, options, payload)
        if kind == "mutable":
            payload["key"] = f"{key}{CHANGED}"


def _roll_back(side: str, key: str, kind: str, options: dict[str, Any]) -> None:
    """Insert, submit, roll back: the caller gets an error, so a job that runs all the same is a ghost."""
    ledger.record("submit", scenario=SCENARIO, job=jobs.crm(key))
    with Session(database.engine()) as session:
        user = work.customer(key)
        values = {name: getattr(user, name) for name in ("id", "name", "email", "birthday", "address")}
        session.execute(insert(database.users).values(values))
        _submit_within(side, session)(key, kind, options, None)
        session.rollback()
    ledger.record("refused", scenario=SCENARIO, job=jobs.crm(key), error="rolled back")
    raise RolledBackError(f"{key}: the transaction was rolled back")


def _submit(side: str) -> Callable[[str, str, dict[str, Any], Any], None]:
    """The side's function that submits a fault job; each side imports its own build alone."""
    if side == "inprocess":
        from bench.app.fault_jobs import children

        return children.submit
    if side == "inprocess-journal":
        from bench.app.fault_jobs import durable_job

        return durable_job.submit
    from bench.app.fault_jobs import tasks

    return tasks.submit


def _submit_within(side: str, session: Session) -> Callable[[str, str, dict[str, Any], Any], None]:
    """The side's function that submits a fault job within a transaction, where it knows one."""
    if side == "inprocess":
        return _submit(side)
    if side == "inprocess-journal":
        from bench.app.fault_jobs import durable_job  # late: as `_submit`

        return partial(durable_job.submit_within, session)
    from bench.app.fault_jobs import tasks  # late: as `_submit`

    return partial(tasks.submit_within, session)
