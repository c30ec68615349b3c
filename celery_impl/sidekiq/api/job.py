"""A job as it is found in a set or a queue, whatever stands there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from celery.utils.saferepr import saferepr

from celery_impl.sidekiq.jobs.entry_format import (
    FAILURE_HEADER,
    DeadJob,
    UnreadableError,
    arguments_of,
    queue_name,
    split,
    stand_in_id,
)
from celery_impl.sidekiq.jobs.job_repr import ARGUMENT_CHARACTERS
from celery_impl.sidekiq.redis.set_moves import Source

#: Characters of an error that the representation of a job shows.
ERROR_CHARACTERS = 200


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Job:
    """A job, its place and how it failed so far. Times are seconds since the epoch.

    `at`: when it is due (retry and scheduled set), was buried (dead set) or came to its queue (None where
    its sender did not say). `count`: its retries so far. `args` and `kwargs` are None where the message is
    not JSON. `problem`: why the entry cannot be read; such a job can be deleted, and nothing else.
    """

    id: str
    task: str = ""
    args: list[Any] | None = None
    kwargs: dict[str, Any] | None = None
    queue: str = ""
    at: float | None = None
    count: int = 0
    error_class: str | None = None
    error_message: str | None = None
    failed_at: float | None = None
    retried_at: float | None = None
    problem: str | None = None
    source: Source
    member: bytes
    queue_key: str = ""
    message: str | None = None

    def __repr__(self) -> str:
        """The job in one line, with its arguments shortened and without its message."""
        if self.problem is not None:
            return f"<Job {self.id}: {self.problem}>"
        args = [saferepr(value, maxlen=ARGUMENT_CHARACTERS) for value in self.args or ()]
        args += [
            f"{name}={saferepr(value, maxlen=ARGUMENT_CHARACTERS)}"
            for name, value in (self.kwargs or {}).items()
        ]
        shown = "…" if self.args is None else ", ".join(args)
        retries = f", {self.count} {'retry' if self.count == 1 else 'retries'}" if self.count else ""
        error = (
            f", {self.error_class}: {(self.error_message or '')[:ERROR_CHARACTERS]}"
            if self.error_class
            else ""
        )
        return f"<Job {self.task}({shown}) [{self.id}] of queue {self.queue}{retries}{error}>"

    def summary(self) -> dict[str, Any]:
        """Return the public fields in JSON's types."""
        names = ("id", "task", "args", "kwargs", "queue", "at", "count")
        failure = ("error_class", "error_message", "failed_at", "retried_at", "problem")
        return {name: getattr(self, name) for name in (*names, *failure)}


def waiting(source: Source, member: bytes, at: float) -> Job:
    """Return the job of an entry of the retry or the scheduled set."""
    try:
        queue_key, message = split(member.decode())
        return _of_message(source, member, queue_key, message, at)
    except ValueError as error:
        return _unreadable(source, member, at, error)


def buried(source: Source, member: bytes, at: float) -> Job:
    """Return the job of an entry of the dead set."""
    try:
        dead_job = DeadJob.loads(member.decode())
    except ValueError as error:
        return _unreadable(source, member, at, error)
    same = ("id", "task", "args", "kwargs", "queue", "error_class", "error_message", "failed_at")
    more = ("retried_at", "queue_key", "message")
    known = {name: getattr(dead_job, name) for name in (*same, *more)}
    return Job(source=source, member=member, at=at, count=dead_job.retries, **known)


def queued(source: Source, member: bytes) -> Job:
    """Return the job of a message in a queue."""
    try:
        return _of_message(source, member, source.key, member.decode(), None)
    except ValueError as error:
        return _unreadable(source, member, None, error)


def _of_message(source: Source, member: bytes, queue_key: str, text: str, at: float | None) -> Job:
    try:
        message = json.loads(text)
        headers, properties = message["headers"], message["properties"]
        args, kwargs = arguments_of(message)
        failed: Mapping[str, Any] = headers.get(FAILURE_HEADER) or {}
        failure = {
            name: failed.get(name) for name in ("error_class", "error_message", "failed_at", "retried_at")
        }
        return Job(
            id=headers["id"],
            task=headers["task"],
            args=args,
            kwargs=kwargs,
            queue=queue_name(queue_key),
            at=properties.get("enqueued_at") if at is None else at,
            count=headers.get("retries") or 0,
            source=source,
            member=member,
            queue_key=queue_key,
            message=text,
            **failure,
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UnreadableError(f"no message of Celery ({type(error).__name__}: {error})") from None


def _unreadable(source: Source, member: bytes, at: float | None, error: Exception) -> Job:
    text = member.decode(errors="backslashreplace")
    return Job(id=stand_in_id(text), at=at, problem=str(error), source=source, member=member)
