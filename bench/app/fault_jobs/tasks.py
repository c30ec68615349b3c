"""The fault jobs as Celery tasks: `celery -A celery_impl.app worker --include bench.app.fault_jobs.tasks`."""

from __future__ import annotations

from typing import Any

from celery import Task, chain, chord
from sqlalchemy.orm import Session

from bench.app.fault_jobs import work
from bench.ledger.job_names import NEXT
from celery_impl import names
from celery_impl.app import app, profile
from celery_impl.sidekiq.enqueue.on_commit import delay_on_commit
from scenarios import jobs, ledger
from scenarios.contract import RefusedError

JOB = "fault.job"
UNIQUE_JOB = "fault.unique_job"
STORED_JOB = "fault.stored_job"

for _name in (JOB, UNIQUE_JOB, STORED_JOB):  # `pending_jobs` finds jobs by this table
    names._JOBS[_name] = (jobs.ACCOUNT_SETUP, jobs.crm)  # noqa: SLF001 - the table has no public way in


@app.task(bind=True, name=JOB, shared=False, ignore_result=True)
def fault_job(self: Task[Any, Any], key: str, kind: str, options: dict[str, Any], payload: Any) -> None:
    """Do what the kind says, then send the key to the CRM."""
    _run(self, key, kind, options, payload)


@app.task(bind=True, name=STORED_JOB, shared=False, ignore_result=False)
def stored_job(self: Task[Any, Any], key: str, kind: str, options: dict[str, Any], payload: Any) -> str:
    """As `fault_job`, with a stored result."""
    _run(self, key, kind, options, payload)
    return key


@app.task(bind=True, name=UNIQUE_JOB, shared=False, ignore_result=True, sidekiq_unique="until_done")
def unique_job(self: Task[Any, Any], key: str, kind: str, options: dict[str, Any], payload: Any) -> None:
    """As `fault_job`, one at a time for each key where the profile has unique jobs."""
    _run(self, key, kind, options, payload)


TASKS: dict[str, Any] = {"": fault_job, "stored": stored_job, "unique": unique_job}


def submit(key: str, kind: str, options: dict[str, Any], payload: Any) -> None:
    """Queue the job as `options["as"]` says; raise RefusedError where it is refused."""
    shape = options.get("as", "")
    if shape in work.CANVASES:
        _submit_canvas(shape, key, kind, options, payload)
        return
    sent = TASKS[shape].delay(key, kind, options, payload)
    if type(sent).__name__ == "Duplicate":
        raise RefusedError(f"{key}: a job with these arguments is waiting or running, {sent.id}")


def _submit_canvas(shape: str, key: str, kind: str, options: dict[str, Any], payload: Any) -> None:
    """Queue the job with what follows it, which only sends its key, as does a chord's other part."""
    arguments = (key, kind, options, payload)
    task = stored_job if shape == "chord" else fault_job
    part, following = (
        task.si(f"{key}{suffix}", "plain", {}, {"key": f"{key}{suffix}"}) for suffix in (work.PART, NEXT)
    )
    if shape == "chord":
        chord([part, task.si(*arguments)], following).delay()
    elif shape == "chain":
        chain(task.si(*arguments), following).delay()
    else:
        task.apply_async(arguments, link=following)


def submit_within(session: Session, key: str, kind: str, options: dict[str, Any], payload: Any) -> None:
    """Queue the job within a transaction: at its commit where the profile can, else at once."""
    if profile.sidekiq:
        delay_on_commit(session, fault_job, key, kind, options, payload)
    else:
        submit(key, kind, options, payload)


def _run(task: Task[Any, Any], key: str, kind: str, options: dict[str, Any], payload: Any) -> None:
    with ledger.attempt(jobs.ACCOUNT_SETUP, jobs.crm(key), task.request.retries + 1):
        work.act(kind, options)
        work.send_key(payload["key"] if kind == "mutable" else key)
