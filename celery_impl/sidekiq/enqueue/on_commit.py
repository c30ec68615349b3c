"""Sends a job when the transaction that it belongs to has committed, and never when it was rolled back.

    with Session(engine) as session, session.begin():
        session.add(user)
        session.flush()
        welcome.delay_on_commit(user.id, session=session)

A worker that is quicker than the commit would not find the row; a job that was sent before a rollback would
look for one that never was. As Sidekiq's `transactional_push!`, but for SQLAlchemy's Session, and explicit.

1. `delay_on_commit` checks the arguments, takes a copy of them and chooses the job's id, which may be stored
   in the same transaction. It does not use the broker.
2. The job belongs to the innermost transaction, which may be a savepoint. A savepoint that is released hands
   its jobs to the transaction around it; one that is rolled back or closed takes them with it.
3. The outermost transaction commits. 4. Then, on the same thread, the jobs are sent in their order.

**A process that dies between 3 and 4 has committed and sends nothing**, and nobody knows of the job. Where
that must not be, write what is to be done into a table in the same transaction, and have a periodic task
send what is still there (an outbox). A broker that is away at 4 raises NotSentError out of `commit()`: the
data are there, and the error has the jobs that were not sent. After the first one that the broker does not
take the others are not tried, so that a commit takes no longer than one enqueue; with
`Sidekiq(app, buffer=…)` they are kept instead.

A session that has not begun a transaction begins one now, as adding an object does. The session's own
outermost transaction counts, also where the session has joined one that its connection has begun before.
AsyncSession is taken too: the jobs are sent on its loop's thread, which waits for them.

In Django a task has Celery's own `delay_on_commit(*args)`, which waits for Django's transaction. It stays
as it is; with `session=`, a session of SQLAlchemy's, it is this one.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Final

from celery.utils import uuid
from kombu.exceptions import OperationalError
from sqlalchemy import event
from sqlalchemy.orm import Session, SessionTransaction, scoped_session

from celery_impl.sidekiq.jobs import job_repr, strict_arguments
from celery_impl.sidekiq.limits.unique import NotUnique

#: The key of the jobs in the session's `info`.
_INFO: Final = "celery_impl.sidekiq.enqueue.on_commit"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DeferredJob:
    """A job to be sent when `transaction`, the one that it belongs to, has committed."""

    task: Any
    job_id: str
    args: list[Any]
    kwargs: dict[str, Any]
    transaction: SessionTransaction

    def __str__(self) -> str:
        """The job as a log may name it."""
        return job_repr.job(self.task, self.job_id, self.args, self.kwargs, {})


class NotSentError(OperationalError):
    """The transaction has committed, but the broker did not take its jobs; `jobs` has those not sent."""

    def __init__(self, jobs: list[DeferredJob], error: Exception) -> None:
        self.jobs = jobs
        names = ", ".join(map(str, jobs))
        super().__init__(f"committed, but not sent ({error}): {names}; send them when the broker is back")


class _DeferredJobs:
    """The jobs of one session that are not sent yet, in the order of the calls."""

    def __init__(self) -> None:
        self.jobs: list[DeferredJob] = []
        self.ready: list[DeferredJob] = []

    def move(self, old: SessionTransaction, new: SessionTransaction) -> None:
        self.jobs = [
            DeferredJob(job.task, job.job_id, job.args, job.kwargs, new) if job.transaction is old else job
            for job in self.jobs
        ]

    def take(self, transaction: SessionTransaction) -> list[DeferredJob]:
        taken = [job for job in self.jobs if job.transaction is transaction]
        self.jobs = [job for job in self.jobs if job.transaction is not transaction]
        return taken


def delay_on_commit(session: Any, task: Any, *args: Any, **kwargs: Any) -> Any:
    """Send `task.delay(*args, **kwargs)` once the session's outermost transaction has committed.

    Return the result of the job that there will be, with its id. Raise ArgumentsError, or Python's TypeError
    where the task does not take the arguments, at once; at the commit NotSentError may be raised.
    """
    plain = _plain(session)
    _check(task, args, kwargs)
    sent_args, sent_kwargs = strict_arguments.copied(task, args, kwargs)
    transaction = plain.get_nested_transaction() or plain.get_transaction() or plain.begin()
    job = DeferredJob(task, uuid(), sent_args, sent_kwargs, transaction)
    _pending(plain).jobs.append(job)
    return task.AsyncResult(job.job_id)


def _plain(session: Any) -> Session:
    found = session() if isinstance(session, scoped_session) else getattr(session, "sync_session", session)
    if not isinstance(found, Session):
        raise TypeError(f"expected a session of SQLAlchemy, not {type(session).__qualname__}")
    return found


def _check(task: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if task.typing:
        task.__header__(*args, **kwargs)
    if strict_arguments.is_strict(task):
        serializer = task.serializer or strict_arguments.JSON
        strict_arguments.check(task.name, args, kwargs, serializer=serializer)


def _pending(session: Session) -> _DeferredJobs:
    if _INFO not in session.info:
        session.info[_INFO] = _DeferredJobs()
        event.listen(session, "after_commit", _after_commit)
        event.listen(session, "after_transaction_end", _after_transaction_end)
    found: _DeferredJobs = session.info[_INFO]
    return found


def _after_commit(session: Session) -> None:
    """A transaction, or a savepoint, has committed and is still the session's."""
    pending: _DeferredJobs = session.info[_INFO]
    savepoint = session.get_nested_transaction()
    if savepoint is not None:
        around = savepoint.parent
        while around is not None and not around.nested and around.parent is not None:
            around = around.parent  # a flush
        pending.move(savepoint, around or savepoint)
    elif (root := session.get_transaction()) is not None:
        pending.ready = pending.take(root)


def _after_transaction_end(session: Session, transaction: SessionTransaction) -> None:
    """A transaction is over: what has not moved on with its commit is dropped; after the last one, send."""
    pending: _DeferredJobs = session.info[_INFO]
    pending.take(transaction)
    if transaction.parent is None:
        ready, pending.ready = pending.ready, []
        _send(ready)


def _send(jobs: list[DeferredJob]) -> None:
    for number, job in enumerate(jobs):
        try:
            job.task.apply_async(job.args, job.kwargs, task_id=job.job_id)
        except NotUnique as duplicate:
            logger.info("not sent after the commit: %s", duplicate)
        except Exception as error:  # whatever it is, the caller must learn what was not sent
            raise NotSentError(jobs[number:], error) from error
