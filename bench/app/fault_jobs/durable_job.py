"""The fault jobs as durable tasks of the journalled build."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from bench.app.fault_jobs import work
from inprocess.journal import DurableTask, durable
from inprocess.journalled import account_setup, application
from inprocess.journalled.records import attempt, refused
from scenarios import database, jobs
from scenarios.contract import RefusedError


def submit(key: str, kind: str, options: dict[str, Any], payload: Any) -> None:
    """Write the job in a transaction of its own; raise RefusedError where it is refused."""
    with Session(database.engine()) as session:
        submit_within(session, key, kind, options, payload)
        session.commit()


def submit_within(session: Session, key: str, kind: str, options: dict[str, Any], payload: Any) -> None:
    """Write the job in the caller's transaction; raise RefusedError where it is refused."""
    with refused(key):
        written = _task(kind, options).enqueue(
            key, kind, options, payload, within=session, key=jobs.crm(key), journal=application.journal()
        )
    if not written.is_new:
        raise RefusedError(f"{key}: this job waits or runs already, {written.id}")


def _run(user: str, kind: str, options: dict[str, Any], payload: Any) -> None:
    with attempt(jobs.ACCOUNT_SETUP, jobs.crm(user)):
        work.act(kind, options)
        work.send_key(payload["key"] if kind == "mutable" else user)


@durable(name="fault.job", retry=account_setup.BACKOFF, max_attempts=account_setup.MAX_ATTEMPTS)
def fault_job(user: str, kind: str, options: dict[str, Any], payload: Any) -> None:
    """Do what the kind says in a thread, then send the key to the CRM."""
    _run(user, kind, options, payload)


@durable(name="fault.hog", retry=account_setup.BACKOFF, max_attempts=account_setup.MAX_ATTEMPTS)
async def hog_job(user: str, kind: str, options: dict[str, Any], payload: Any) -> None:
    """As `fault_job`, but it blocks the loop on purpose."""
    _run(user, kind, options, payload)


@durable(
    name="fault.isolated",
    retry=account_setup.BACKOFF,
    max_attempts=account_setup.MAX_ATTEMPTS,
    isolation="process",
)
def isolated_job(user: str, kind: str, options: dict[str, Any], payload: Any) -> None:
    """As `fault_job`, in a process of its own."""
    _run(user, kind, options, payload)


def _task(kind: str, options: dict[str, Any]) -> DurableTask[Any, Any]:
    if options.get("isolation") == "process":
        return isolated_job
    return hog_job if kind == "hog" else fault_job
