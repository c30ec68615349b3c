"""The fault jobs as Celery tasks: `celery -A celery_impl.app worker --include bench.app.fault_jobs.tasks`."""

from __future__ import annotations

from typing import Any

from celery import Task
from sqlalchemy.orm import Session

from bench.app.fault_jobs import work
from celery_impl import names
from celery_impl.app import app, profile
from celery_impl.sidekiq.enqueue.on_commit import delay_on_commit
from scenarios import jobs, ledger
from scenarios.contract import RefusedError

ODD = "odd.job"
ODD_UNIQUE = "odd.unique_job"
ODD_STORED = "odd.stored_job"

for _name in (ODD, ODD_UNIQUE, ODD_STORED):  # so that the side knows where they are held
    names._JOBS[_name] = (jobs.ACCOUNT_SETUP, jobs.crm)  # noqa: SLF001 - the table has no public way in


@app.task(bind=True, name=ODD, shared=False, ignore_result=True)
def odd_job(self: Task[Any, Any], key: str, kind: str, options: dict[str, Any], payload: Any) -> None:
    """Do the oddity, then tell the CRM."""
    _run(self, key, kind, options, payload)


@app.task(bind=True, name=ODD_STORED, shared=False, ignore_result=False)
def stored_job(self: Task[Any, Any], key: str, kind: str, options: dict[str, Any], payload: Any) -> str:
    """As `odd_job`, and keep a result."""
    _run(self, key, kind, options, payload)
    return key


@app.task(bind=True, name=ODD_UNIQUE, shared=False, ignore_result=True, sidekiq_unique="until_done")
def unique_job(self: Task[Any, Any], key: str, kind: str, options: dict[str, Any], payload: Any) -> None:
    """As `odd_job`, one at a time of a key where the profile knows unique jobs."""
    _run(self, key, kind, options, payload)


TASKS: dict[str, Any] = {"": odd_job, "stored": stored_job, "unique": unique_job}


def submit(key: str, kind: str, options: dict[str, Any], payload: Any) -> None:
    """Queue the job as `options["as"]` says; raise RefusedError where it is not taken."""
    sent = TASKS[options.get("as", "")].delay(key, kind, options, payload)
    if type(sent).__name__ == "Duplicate":
        raise RefusedError(f"{key}: a job with these arguments waits or runs already, {sent.id}")


def submit_within(session: Session, key: str, kind: str, options: dict[str, Any], payload: Any) -> None:
    """Queue the job within a transaction: at its commit where the profile knows how, else at once."""
    if profile.sidekiq:
        delay_on_commit(session, odd_job, key, kind, options, payload)
    else:
        submit(key, kind, options, payload)


def _run(task: Task[Any, Any], key: str, kind: str, options: dict[str, Any], payload: Any) -> None:
    with ledger.attempt(jobs.ACCOUNT_SETUP, jobs.crm(key), task.request.retries + 1):
        work.act(kind, options)
        work.tell(payload["key"] if kind == "mutable" else key)
