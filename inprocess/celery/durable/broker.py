"""JournalBroker: the queues of a run whose messages are rows of a journal.

1. `put` writes a message as a row and returns when it is on disk, or writes it in the caller's transaction.
2. Processes of the journal claim due rows, at most as many as the pool has free slots, and hand them to the
   in-memory broker that this is (`deliver`), where the worker takes them as ever. A row is held until the
   message is acknowledged and the job has ended.
3. An acknowledgement marks the row as done. One before the run (`acks_late` is false) is on disk before the
   task's function begins, so that a job that has begun never runs again. A rejection makes the job dead; one
   with `requeue` puts the message back in this process.
4. A message with an id that is there already is written beside it, under another id of a row: Celery runs it
   too. But a job that runs again after a kill may have sent its messages before: those are there, and are not
   written twice. So it is with what must be sent once (`once`).
5. Messages that are no tasks stay in memory.

Any thread, unless a method says otherwise.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from kombu.exceptions import OperationalError
from kombu.utils.uuid import uuid

from inprocess.celery.broker.broker import Broker, Envelope, Lane
from inprocess.celery.celery_internals.internals import get_current_worker_task
from inprocess.celery.durable.messages import due_of, envelope_of, text_of
from inprocess.celery.durable.waiting import waited
from inprocess.journal import GiveUp, Journal, JournalError
from inprocess.journal.model import operations as op
from inprocess.journal.model.job import MAX_ATTEMPTS, PRIORITIES, NewJob, now_us
from inprocess.journal.running_job import MisfitError, NotBegunError, RunningJob, running_job

#: Stands before the name of a task in its rows, so that a `@durable` function may have the same name.
PREFIX: Final = "celery:"
#: Seconds that a job which has ended has for its acknowledgement, which comes on another thread.
SETTLE_S: Final = 5.0

_once: ContextVar[bool] = ContextVar("inprocess.celery.durable.once", default=False)


@contextmanager
def once() -> Iterator[None]:
    """Within the block a message whose id is there already is not sent again."""
    before = _once.set(True)
    try:
        yield
    finally:
        _once.reset(before)


class Held:
    """A message of this process and the run of its row. Loop's thread only, but for `acknowledge`."""

    def __init__(self, job: RunningJob) -> None:
        self.job = job
        self.loop = asyncio.get_running_loop()
        self.is_begun = False
        #: Whether the row was this process's still; there once the message was acknowledged.
        self.written: concurrent.futures.Future[bool] | None = None
        self.over: asyncio.Future[None] = self.loop.create_future()
        self.runs_on: Callable[[], bool] = bool

    def acknowledge(self) -> None:
        """Mark the row as done. Any thread."""
        written = self.written = concurrent.futures.Future()

        def finish() -> None:
            self.job.finish().add_done_callback(lambda done: _pass_on(done, written))
            if not self.is_begun:
                self.end(None)

        self.soon(finish)

    def soon(self, function: Callable[..., object], *args: Any) -> None:
        """Call a function on the loop's thread. Any thread."""
        try:
            self.loop.call_soon_threadsafe(function, *args)
        except RuntimeError:  # the loop is closed
            if self.written is not None and not self.written.done():
                self.written.set_exception(JournalError("the run has ended"))

    def end(self, error: BaseException | None) -> None:
        """The message is over in this process."""
        if self.over.done():
            return
        if error is None:
            self.over.set_result(None)
        else:
            self.over.set_exception(error)


class JournalBroker(Broker):
    """See the module."""

    survives = True

    def __init__(self, journal: Journal, lane_of: Callable[[str | None], Lane]) -> None:
        super().__init__(lane_of)
        self.journal = journal
        self._begun: dict[int, Held] = {}
        self._created: dict[str, int] = {}
        self._guard = threading.Lock()

    # Sending.

    def put(self, envelope: Envelope) -> None:
        """Write a task's message as a row.

        Raise OperationalError if that fails, and TransactionError for a `within` that cannot take it.
        """
        name = envelope.about.get("task")
        if name is None:
            super().put(envelope)
            return
        job = self._row_of(envelope, name)
        while not self._write(job, envelope.within):
            if self._was_sent(job):
                return
            job = job._replace(id=f"{job.id.partition('/')[0]}/{uuid()}")

    def _row_of(self, envelope: Envelope, name: str) -> NewJob:
        about, codecs, now = envelope.about, self.journal.codecs, now_us()
        row_id = _row_id(about.get("id"), about.get("retries"))
        priority = min(max(envelope.priority, PRIORITIES[0]), PRIORITIES[-1])
        body = codecs.dumps(name, [text_of(envelope)], {})
        return NewJob(
            row_id, PREFIX + name, envelope.queue or "celery", priority, codecs.name, body, None,
            MAX_ATTEMPTS, due_of(envelope, now), now,
        )  # fmt: skip

    def _write(self, job: NewJob, within: object) -> bool:
        """Write a row; return whether it is new."""
        if within is not None:
            return self.journal.write_within(within, job, repeats=True).is_new
        try:
            return waited(self.journal.begin_to_write(job)).is_new
        except JournalError as error:
            raise OperationalError(str(error)) from error

    def _was_sent(self, job: NewJob) -> bool:
        """Whether the row that has this id is what is being sent, from an earlier run of its sender."""
        if _once.get():
            return True
        sender = get_current_worker_task()
        request = None if sender is None else sender.request
        if request is None or not (request.delivery_info or {}).get("redelivered"):
            return False
        if request.id == job.id:
            return False
        with self._guard:
            since = self._created.get(_row_id(request.id, request.retries))
        there = self.journal.ask(op.Find(job.id))
        return since is not None and there is not None and there.created >= since

    # Delivering. Loop's thread only.

    async def deliver(self, text: str) -> None:
        """Hand the message of a claimed row to the worker, and wait until it is over.

        Raise MisfitError for what is no message, which parks the row, and GiveUp for a rejection.
        """
        job = running_job()
        try:
            envelope = envelope_of(text, job.row.queue)
        except (ValueError, KeyError, TypeError) as error:
            raise MisfitError(f"the row's message cannot be read: {error!r}") from error
        envelope.redelivered = job.row.attempt > 1
        if due_of(envelope, 0) > job.row.due:  # a person has made it due
            envelope.headers["eta"] = None
        envelope.held = held = Held(job)
        row_id = _row_id(envelope.about.get("id"), envelope.about.get("retries"))
        with self._guard:
            self._created[row_id] = job.row.created
        super().put(envelope)
        try:
            await held.over
        finally:
            with self._guard:
                self._created.pop(row_id, None)
            if held.runs_on():
                job.runs_on()
            self._forget(envelope)

    def withdraw(self) -> None:
        """Give back what the worker has not taken."""
        for envelope in super().waiting():
            if envelope.held is not None:
                envelope.held.end(NotBegunError())

    # What the worker and its pool tell.

    def begins(self, tag: int, runs_on: Callable[[], bool]) -> None:
        """A job begins with the message of this tag. Loop's thread only."""
        envelope = self._taken.get(tag)
        if envelope is not None and envelope.held is not None:
            held = self._begun[tag] = envelope.held
            held.is_begun, held.runs_on = True, runs_on

    def written(self, tag: int) -> concurrent.futures.Future[bool] | None:
        """See Broker.written."""
        held = self._begun.get(tag)
        return None if held is None else held.written

    def over(self, tag: int) -> None:
        """The job of this tag has ended. Loop's thread only."""
        held = self._begun.pop(tag, None)
        if held is None:
            return
        if held.written is not None:
            held.end(None)
        elif tag in self._taken:  # a report on another thread will acknowledge it, or nobody will
            held.is_begun = False
            error = RuntimeError("it ended without an acknowledgement")
            held.loop.call_later(SETTLE_S, held.end, error)
        else:  # put back, or rejected
            held.is_begun = False

    def ack(self, tag: int) -> None:
        """See Broker.ack."""
        with self._lock:
            envelope = self._taken.pop(tag, None)
        if envelope is not None and envelope.held is not None:
            envelope.held.acknowledge()

    def reject(self, tag: int, *, requeue: bool) -> None:
        """See Broker.reject; without `requeue` the job is dead."""
        envelope = self._taken.get(tag)
        super().reject(tag, requeue=requeue)
        if envelope is not None and envelope.held is not None and not requeue:
            envelope.held.soon(envelope.held.end, GiveUp("it was rejected"))

    def restore(self) -> int:
        """Forget what an earlier worker has taken: its rows were given back with the end of that worker."""
        with self._lock:
            held = [each for each in self._taken.values() if each.held is not None]
            self._taken = {tag: each for tag, each in self._taken.items() if each.held is None}
        for envelope in held:
            self._forget(envelope)
        self._begun.clear()
        return super().restore()

    def _forget(self, envelope: Envelope) -> None:
        """Drop a message of which nothing may begin any more, wherever it waits."""
        with self._lock:
            self._express = [each for each in self._express if each is not envelope]
            self._taken = {tag: each for tag, each in self._taken.items() if each is not envelope}
            for queue in self._queues.values():
                for heap in (queue.thread, queue.loop):
                    kept = [entry for entry in heap if entry[2] is not envelope]
                    if len(kept) < len(heap):
                        heap[:] = sorted(kept, key=lambda entry: entry[:2])

    # For people.

    def size(self, queue: str) -> int:
        """See Broker.size; rows that are due."""
        return super().size(queue) + self.journal.waiting.only(queue=queue).size()

    def purge(self, queue: str) -> int:
        """See Broker.purge; ETAs included. Jobs of `@durable` functions stay."""
        count = super().purge(queue)
        for rows in (self.journal.waiting, self.journal.scheduled, self.journal.retries):
            jobs = [job for job in rows.only(queue=queue) if job.task.startswith(PREFIX)]
            count += rows.delete(*jobs)
        return count


def _row_id(job_id: object, retries: int | None) -> str:
    """The id of the row of a job, or of one of its retries, which have its id in Celery."""
    return f"{job_id}/retry-{retries}" if retries else str(job_id)


def _pass_on(done: concurrent.futures.Future[bool], to: concurrent.futures.Future[bool]) -> None:
    error = done.exception()
    if error is None:
        to.set_result(done.result())
    else:
        to.set_exception(error)
