"""The dead set's queue: what a job that is given up looks like there, and how it comes there.

A dead job is its message as it would be queued, so that it can also be moved by RabbitMQ's own tools, and one
header more: `sidekiq_dead`, JSON with all that `DeadJob` knows beside the message. What the broker itself has
buried has the broker's `x-death` in its place. The queue keeps the newest 10,000.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

import amqp
from kombu.utils.json import loads

from celery_impl.sidekiq.api.job import Job
from celery_impl.sidekiq.jobs.entry_format import (
    MESSAGE_LIMIT,
    VERSION,
    DeadJob,
    UnreadableError,
    stand_in_id,
)
from celery_impl.sidekiq.rabbitmq.envelope import Envelope
from celery_impl.sidekiq.rabbitmq.queues import DEAD
from celery_impl.sidekiq.redis.set_moves import Source
from celery_impl.sidekiq.redis.sets import DEAD_LIMIT

#: The header that tells why a job is dead.
HEADER: Final = "sidekiq_dead"
#: One more than the set keeps: who looks through it puts a mark behind its last job.
LENGTH: Final = DEAD_LIMIT + 1
#: Looks that a job of the dead set outlives: RabbitMQ 4 would drop it after 20, and 3 takes no -1.
LOOKS: Final = 2_000_000_000
ARGUMENTS: Final = {
    "x-queue-type": "quorum",
    "x-max-length": LENGTH,
    "x-overflow": "drop-head",
    "x-delivery-limit": LOOKS,
}
#: What the broker's reasons mean for a person.
REASONS: Final = {
    "delivery_limit": "the queue's x-delivery-limit is used up: each worker that had it died, lost its "
    "connection or gave it back",
    "rejected": "a worker rejected it",
}


class Burial:
    """What Redis's channel calls its sets, as far as a worker needs it."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._declared = False

    def bury(self, dead_job: DeadJob) -> None:
        """Put a job into the dead set; raise what the broker raises."""
        if self._channel.consumes:
            # Its thread may be in the middle of a delivery: an answer would not be waited for.
            with self._channel.connection.client.clone() as own:
                own.default_channel.sets.bury(dead_job)
            return
        if not self._declared:
            declare(self._channel)
            self._declared = True
        envelope = Envelope.loads(dead_job.message or "")
        known = asdict(dead_job)
        del known["message"], known["queue_key"], known["args"], known["kwargs"]
        headers = {**(envelope.properties.get("application_headers") or {})}
        headers[HEADER] = json.dumps({"v": VERSION, **known}, default=repr)
        self._channel.basic_publish(envelope.message(headers), "", DEAD, mandatory=True)


def declare(channel: Any) -> None:
    """Declare the dead set's queue and exchange; raise PreconditionFailed where others have these names."""
    channel.exchange_declare(DEAD, "fanout", durable=True, auto_delete=False)
    channel.queue_declare(DEAD, durable=True, auto_delete=False, arguments=ARGUMENTS)
    channel.queue_bind(DEAD, DEAD)


def read(message: amqp.Message) -> Job:
    """Return the job of a message in the dead set, whatever it is."""
    headers = dict(message.properties.get("application_headers") or {})
    headers.pop("x-delivery-count", None)
    member = _member(message, headers)
    job_id = str(headers.get("id") or message.properties.get("correlation_id") or stand_in_id(member.hex()))
    source = Source(DEAD)
    try:
        known = _from_header(headers[HEADER]) if HEADER in headers else _from_broker(headers)
    except UnreadableError as error:
        return Job(id=job_id, problem=str(error), source=source, member=member)
    args, kwargs = _arguments(message)
    return Job(
        id=job_id,
        task=str(headers.get("task") or ""),
        args=args,
        kwargs=kwargs,
        source=source,
        member=member,
        queue_key=known["queue"],
        message=Envelope(message.body, {**message.properties, "application_headers": headers}).dumps(),
        **known,
    )


def _from_header(text: str) -> dict[str, Any]:
    try:
        known = json.loads(text)
        version = int(known["v"])
    except (ValueError, TypeError, KeyError, RecursionError):
        raise UnreadableError("corrupt: expected a JSON object with a version; delete it") from None
    if version > VERSION:
        raise UnreadableError(
            f"written by version {version} of the sets, and this program knows {VERSION}: upgrade"
        )
    same = ("queue", "error_class", "error_message", "failed_at", "retried_at")
    try:
        return {"at": known["buried_at"], "count": known["retries"], **{name: known[name] for name in same}}
    except KeyError as error:
        raise UnreadableError(f"corrupt: it has no {error}; delete it") from None


def _from_broker(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the broker recorded of its last death; the newest comes first."""
    try:
        death = headers["x-death"][0]
        reason, queue = str(death["reason"]), str(death["queue"])
    except (KeyError, IndexError, TypeError):
        raise UnreadableError("nobody says why it is dead, or of which queue it was: delete it") from None
    when = death.get("time")
    at = when.replace(tzinfo=UTC).timestamp() if isinstance(when, datetime) else None
    return {
        "at": at,
        "count": _number(headers.get("retries")),
        "queue": queue,
        "error_class": reason,
        "error_message": REASONS.get(reason, reason)[:MESSAGE_LIMIT],
        "failed_at": at,
    }


def _arguments(message: amqp.Message) -> tuple[Any, Any]:
    if message.properties.get("content_type") != "application/json":
        return None, None
    try:
        args, kwargs, _ = loads(message.body)
    except (ValueError, TypeError, RecursionError):
        return None, None
    return args, kwargs


def _member(message: amqp.Message, headers: Mapping[str, Any]) -> bytes:
    """Return bytes that identify this entry, the same each time that it is read."""
    text = f"{message.properties.get('correlation_id')}\n{sorted(headers.items(), key=str)}\n{message.body!r}"
    return hashlib.sha256(text.encode(errors="replace")).digest()


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
