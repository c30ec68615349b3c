"""Growing out of one machine: `@durable` tasks as tasks of a Celery app, and what waits handed over to it.

    from queue_or_task import handover

    handover.register(app)      # each @durable task of this process is a task of the app, under its name

The functions stay as they are: `current_job()` has the same id and goes on counting attempts, retries wait as
`retry=` says, up to `max_attempts`, `GiveUp` and `RetryAfter` mean what they did. They are acknowledged late:
at least once, as in the journal. An async function runs on an event loop of its own.

`move_jobs` hands over what waits in a journal, with the same ids. A kill loses nothing: a row is deleted once
the broker has its message, and what a killed process was moving waits again. On Redis nothing is doubled
either: a message and the marker of its id are written in one transaction. On RabbitMQ, where messages are
confirmed, at most the batch in flight is sent twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from typing import Any, Final

from inprocess.celery.durable.broker import PREFIX
from inprocess.celery.durable.messages import envelope_of
from inprocess.journal import DurableTask, GiveUp, Journal, RetryAfter
from inprocess.journal.model import operations as op
from inprocess.journal.model.job import QUEUE, SECOND, CurrentJob, Row, now_us
from inprocess.journal.running_job import running_as
from inprocess.journal.task import all_tasks
from inprocess.supervision.core.exits import Shutdown, Stop
from inprocess.supervision.core.thread_bridge import is_async

#: The header of a message with what the journal knows of its job.
HEADER: Final = "journal"
#: Jobs that are moved in one transaction; what a kill may double on RabbitMQ.
BATCH: Final = 100
#: What marks in Redis that a job was moved, and the seconds for which: a week.
MARKER: Final = "queue-or-task:moved:"
MARKER_S: Final = 7 * 86400
#: Seconds between two signs of life to the journal.
BEAT_S: Final = 1.0


def register(app: Any, *tasks: DurableTask[Any, Any]) -> None:
    """Make a task of the Celery app of each of these, or of all `@durable` tasks of this process.

    Call it once the modules with the tasks are imported. Raise ValueError if the app has another task of that
    name.
    """
    for task in tasks or all_tasks():
        there = app.tasks.get(task.name)
        if there is not None and getattr(there, "durable", None) is not task:
            raise ValueError(
                f"the app has a task named {task.name!r} already: give one of them another name="
            )
        if there is None:
            _register(app, task)


def _register(app: Any, task: DurableTask[Any, Any]) -> None:
    function: Callable[..., Any] = task.function

    @wraps(function)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        job = _job_of(self.request, task)
        with running_as(job):
            try:
                return (
                    asyncio.run(function(*args, **kwargs))
                    if is_async(function)
                    else function(*args, **kwargs)
                )
            except (Stop, Shutdown):
                return None
            except GiveUp:
                raise
            except Exception as error:
                raise _retried(self, task, job, error) from error

    made = app.task(
        run, name=task.name, bind=True, shared=False, lazy=False, acks_late=True,
        reject_on_worker_lost=True, max_retries=None,
    )  # fmt: skip
    made.durable = task


def _job_of(request: Any, task: DurableTask[Any, Any]) -> CurrentJob:
    """The job as its function sees it, whether it comes from a journal or was sent to Celery."""
    known = request.get(HEADER) or {}
    attempt = known.get("attempt", 0) + request.retries + 1
    most = known.get("max_attempts", task.max_attempts)
    return CurrentJob(request.id, task.name, known.get("key"), attempt, most, known.get("token", 0) + attempt)


def _retried(self: Any, task: DurableTask[Any, Any], job: CurrentJob, error: Exception) -> Exception:
    """Return what to raise: Celery's retry, or the error where no attempt is left."""
    if job.attempt >= job.max_attempts or (task.retry is None and not isinstance(error, RetryAfter)):
        return error
    if isinstance(error, RetryAfter):
        delay_s = error.seconds
    else:
        assert task.retry is not None  # noqa: S101 - looked at above
        delay_s = task.retry.delay(job.attempt)
    headers = {HEADER: self.request.get(HEADER)}
    retry: Exception = self.retry(exc=error, countdown=max(0.0, delay_s), throw=False, headers=headers)
    return retry


@dataclass(frozen=True, slots=True)
class Moves:
    """What became of a hand-over.

    - `sent`: jobs that the broker has now.
    - `had`: jobs that Redis had already, from a move that was killed.
    - `left`: jobs that wait and whose functions are no tasks of the app, by function.
    """

    sent: int
    had: int
    left: dict[str, int]


def move_jobs(journal: Journal, app: Any, *, batch: int = BATCH) -> Moves:
    """Hand over every job that waits, due or not, and whose function is a task of the app. Blocks.

    Jobs that run, are dead or parked stay. The journal may be in use meanwhile. Raise what the broker raises:
    then what it has not taken waits again; and JournalError.
    """
    names = tuple(sorted(app.tasks))
    functions = (*names, *(PREFIX + name for name in names))
    holder = journal.ask(op.Register({}, now_us()))
    counts = {True: 0, False: 0}
    try:
        for dead in journal.ask(op.Beats(holder)).dead:
            journal.ask(op.Reap(dead, now_us()))
        with _sender(app) as send:
            while rows := journal.ask(op.Take(holder, functions, batch)):
                _move(journal, holder, rows, send, counts)
    finally:
        journal.ask(op.Leave(holder, runs=False))
    return Moves(counts[True], counts[False], _left(journal))


def _move(
    journal: Journal,
    holder: int,
    rows: list[Row],
    send: Callable[[Row, Journal], bool],
    counts: dict[bool, int],
) -> None:
    """Send a batch, and delete what was sent; put back the rest if the broker fails."""
    sent: list[tuple[int, int]] = []
    beat_at = time.monotonic()
    try:
        for row in rows:
            counts[send(row, journal)] += 1
            sent.append((row.n, row.token))
            if time.monotonic() - beat_at > BEAT_S:
                beat_at = time.monotonic()
                journal.ask(op.Beats(holder))
    finally:
        journal.ask(op.Moved(sent))
        journal.ask(op.PutBack([(row.n, row.token) for row in rows[len(sent) :]]))


@contextmanager
def _sender(app: Any) -> Iterator[Callable[[Row, Journal], bool]]:
    """Open a connection, and give what sends the job of a row; it returns False if the broker had it."""
    with app.connection_for_write() as connection:
        if connection.transport.driver_type == "amqp":
            connection.transport_options = {**(connection.transport_options or {}), "confirm_publish": True}
        channel = connection.default_channel
        marks = _Marks(channel) if connection.transport.driver_type == "redis" else None
        producer = app.amqp.Producer(channel)

        def send(row: Row, journal: Journal) -> bool:
            if marks is not None:
                marks.begin(row.id)
            _publish(app, producer, row, journal)
            return marks is None or marks.was_sent

        yield send


class _Marks:
    """Puts a message into Redis together with the marker of its id, in one transaction, or neither."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._put = channel._put  # noqa: SLF001 - where kombu's virtual transports put a message
        self._acquire = channel.conn_or_acquire
        self._key = ""
        self.was_sent = True
        channel._put = self._marked  # noqa: SLF001 - as above

    def begin(self, job_id: str) -> None:
        """The next message is of this job."""
        self._key, self.was_sent = MARKER + job_id, True

    def _marked(self, queue: str, message: Any, **options: Any) -> None:
        self._channel.conn_or_acquire = self._in_transaction  # for the message alone: a queue is declared too
        try:
            self._put(queue, message, **options)
        finally:
            self._channel.conn_or_acquire = self._acquire

    @contextmanager
    def _in_transaction(self, client: Any = None) -> Iterator[Any]:
        with self._acquire(client) as connected, connected.pipeline(transaction=True) as transaction:
            transaction.watch(self._key)
            self.was_sent = not transaction.exists(self._key)
            transaction.multi()
            yield transaction
            if self.was_sent:
                transaction.set(self._key, 1, ex=MARKER_S)
                transaction.execute()


def _publish(app: Any, producer: Any, row: Row, journal: Journal) -> None:
    """Publish the job of a row: a message of Celery's as it was, or a call of a durable task."""
    args, kwargs = journal.codecs.loads(row.codec, row.args)
    due = row.due / SECOND
    if row.fn.startswith(PREFIX):
        _publish_message(app, producer, args[0], row)
        return
    known = {
        "attempt": row.attempt, "max_attempts": row.max_attempts, "key": row.key, "token": row.token,
    }  # fmt: skip
    options: dict[str, Any] = {"queue": row.queue} if row.queue != QUEUE else {}
    if row.priority:
        options["priority"] = row.priority
    eta = datetime.fromtimestamp(due, UTC) if due > time.time() else None
    app.send_task(
        row.fn, args, kwargs, task_id=row.id, eta=eta, headers={HEADER: known}, producer=producer,
        retry=False, **options,
    )  # fmt: skip


def _publish_message(app: Any, producer: Any, text: str, row: Row) -> None:
    envelope = envelope_of(text, row.queue)
    body, content_type, encoding = envelope.body, envelope.content_type, envelope.content_encoding
    if content_type is None:  # plain values, which needed no serialiser
        from kombu.serialization import dumps  # late: few messages of an app are such

        content_type, encoding, body = dumps(body, serializer=app.conf.task_serializer)
    properties = {
        name: envelope.properties[name]
        for name in ("correlation_id", "reply_to", "expiration")
        if envelope.properties.get(name) is not None
    }
    if "expiration" in properties:
        properties["expiration"] = float(properties["expiration"]) / 1000
    queue = app.amqp.queues[row.queue]
    producer.publish(
        body, routing_key=queue.routing_key, exchange=queue.exchange, declare=[queue], retry=False,
        content_type=content_type, content_encoding=encoding, headers=envelope.headers,
        priority=envelope.priority, delivery_mode=2, **properties,
    )  # fmt: skip


def _left(journal: Journal) -> dict[str, int]:
    left: dict[str, int] = {}
    for jobs in (journal.waiting, journal.scheduled, journal.retries):
        for job in jobs:
            left[job.task] = left.get(job.task, 0) + 1
    return left
