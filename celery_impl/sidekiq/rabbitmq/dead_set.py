"""`DeadSet` on RabbitMQ. Whoever looks takes all, and gives back what stays.

1. It locks the set by an exclusive queue, which ends with its connection: one looks at a time, others wait.
2. It sends a mark to the set's queue, and takes all there is until it meets its mark.
3. It acts: a job to delete is acknowledged; one to retry is sent to its queue, confirmed and acknowledged. A
   kill between the two leaves it in both.
4. It closes its connection: the queue has the rest back, in its old order.

A look at 10,000 jobs takes about a second, and the memory that they need. What comes meanwhile is seen by the
next look. Jobs that are older than 180 days go at a look; where nobody looks, the cap alone holds.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import amqp
from celery import Celery
from kombu.common import maybe_declare
from kombu.exceptions import OperationalError

from celery_impl.sidekiq.api.job import Job
from celery_impl.sidekiq.api.job_moves import queue_again
from celery_impl.sidekiq.api.sets import DeadSet
from celery_impl.sidekiq.jobs.broker_support import RabbitMQError
from celery_impl.sidekiq.rabbitmq import dead_messages
from celery_impl.sidekiq.rabbitmq.envelope import Envelope
from celery_impl.sidekiq.rabbitmq.queues import DEAD
from celery_impl.sidekiq.rabbitmq.transport import BROKERS
from celery_impl.sidekiq.redis.deadline import within
from celery_impl.sidekiq.redis.set_moves import Source
from celery_impl.sidekiq.redis.sets import DEAD_AGE_S

#: The exclusive queue that is the set's lock.
LOCK: Final = "sidekiq.dead.look"
#: Seconds for which a look waits until others have looked, and between two tries.
PATIENCE_S: Final = 10.0
POLL_S: Final = 0.05
#: Seconds that the broker may be silent, or take for a step.
SILENCE_S: Final = 10.0
#: Messages that AMQP lets a consumer hold, more than the set keeps.
PREFETCH: Final = 0xFFFF
#: What the `type` of a mark is, and the seconds after which one counts as forgotten.
MARK: Final = "sidekiq.mark"


class RabbitDeadSet(DeadSet):
    """The dead set of an app on RabbitMQ; each call is one look, and needs a connection for it."""

    def __init__(self, app: Celery, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__(app, clock=clock)
        self._source = Source(DEAD)

    def __iter__(self) -> Iterator[Job]:
        """Every job that was there when the look began, newest first."""
        with self._locked() as channel:
            jobs = [job for job, _ in self._taken(channel)]
        yield from reversed(jobs)

    def size(self) -> int:
        """Return how many jobs are in the set."""
        with self._locked() as channel, within(SILENCE_S):
            return int(channel.queue_declare(DEAD, passive=True).message_count)

    def latency(self) -> float:
        """Return the seconds since the oldest burial; 0.0 where there is none."""
        return max((self._clock() - job.at for job in self if job.at), default=0.0)

    def find(self, job_id: str) -> Job | None:
        """Return the job with this id, or None; looks at the whole set."""
        return next((job for job in self if job.id == job_id), None)

    def retry(self, *jobs: Job) -> int:
        """Queue these jobs now; return how many were still in the set.

        Raise UnreadableError before any, and RabbitMQError at the first whose queue is gone.
        """
        queue_again(jobs, self._clock())
        return self._act(jobs, self._queue)

    def delete(self, *jobs: Job) -> int:
        """Delete these jobs, readable or not; return how many were still in the set."""
        return self._act(jobs, lambda _channel, _job: None)

    def clear(self) -> int:
        """Delete all, readable or not, in one step; return how many there were."""
        with self._locked() as channel, within(SILENCE_S):
            return int(channel.queue_purge(DEAD))

    def retry_all(self) -> int:
        """Queue every job that can be read and is in the set now; return how many."""
        return self.retry(*(job for job in self if job.problem is None))

    def _act(self, jobs: tuple[Job, ...], act: Callable[[Any, Job], None]) -> int:
        wanted, count = Counter(job.member for job in jobs), 0
        with self._locked() as channel:
            for job, tag in self._taken(channel) if jobs else ():
                if wanted[job.member] > 0:
                    act(channel, job)
                    channel.basic_ack(tag)
                    wanted[job.member] -= 1
                    count += 1
        return count

    def _queue(self, channel: Any, job: Job) -> None:
        queue = dict.get(self._app.amqp.queues, job.queue)
        with within(SILENCE_S):
            if queue is not None:
                maybe_declare(queue(channel))
            _send(channel, job)

    @contextmanager
    def _locked(self) -> Iterator[Any]:
        """A channel that alone looks at the set; raise OperationalError where that cannot be had."""
        connection: Any = self._app.connection_for_write()
        try:
            with _as_kombus(connection):
                with within(PATIENCE_S + SILENCE_S):
                    channel = connection.default_channel
                    _lock(connection)
                    dead_messages.declare(channel)
                yield channel
        finally:
            with within(SILENCE_S):
                connection.release()

    def _taken(self, channel: Any) -> list[tuple[Job, int]]:
        """Return every job with its delivery tag, oldest first, but for what is too old: that is deleted."""
        found = [(dead_messages.read(message), int(message.delivery_tag or 0)) for message in _take(channel)]
        oldest = self._clock() - DEAD_AGE_S
        for job, tag in found:
            if job.at is not None and job.at < oldest:
                channel.basic_ack(tag)
        return [(job, tag) for job, tag in found if job.at is None or job.at >= oldest]


def _as_kombus(connection: Any) -> Any:
    return connection._reraise_as_library_errors()  # noqa: SLF001 - pinned by a test


def _lock(connection: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            connection.channel().queue_declare(LOCK, exclusive=True, auto_delete=False)
        except amqp.ResourceLocked:
            if time.monotonic() > deadline:
                raise OperationalError("somebody else looks at the dead set: try again in a moment") from None
            time.sleep(POLL_S)
        else:
            return


def _take(channel: Any) -> list[amqp.Message]:
    """Return all messages in front of a mark of our own; marks of those that died in looking are dropped."""
    own, taken, met = uuid.uuid4().hex, list[amqp.Message](), list[str]()

    def on_message(message: amqp.Message) -> None:
        if message.properties.get("type") != MARK:
            taken.append(message)
            return
        channel.basic_ack(message.delivery_tag)
        met.append(message.properties["message_id"])

    with within(SILENCE_S):
        channel.basic_publish(amqp.Message("", type=MARK, message_id=own, delivery_mode=2), "", DEAD)
        channel.basic_qos(0, PREFETCH, a_global=False)
        channel.basic_consume(DEAD, callback=on_message)
    while own not in met:
        with within(SILENCE_S):
            channel.connection.drain_events()
    return taken


def _send(channel: Any, job: Job) -> None:
    envelope = Envelope.loads(job.message or "")
    known = envelope.properties.get("application_headers") or {}
    headers = {
        n: value for n, value in known.items() if not n.startswith(BROKERS) and n != dead_messages.HEADER
    }
    # What expired meanwhile would be dropped.
    message = envelope.message({**headers, "expires": None})
    try:
        channel.basic_publish(message, "", job.queue, mandatory=True)
    except amqp.RecoverableConnectionError as error:
        if "NO_ROUTE" not in str(error):
            raise
        raise RabbitMQError(
            f"queue {job.queue!r} of job {job.id} is gone: start a worker that declares it, then retry"
        ) from error
