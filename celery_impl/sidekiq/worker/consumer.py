"""Celery's consumer, but it puts a message that no task can run into the dead set instead of dropping it.

Celery logs an unknown task name, a message that it cannot decode or one that is none of a task, and
acknowledges it: it is lost. Here it is buried with the reason before. A kill between the two buries it
twice; a broker that is away ends the connection, and the message is delivered again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from celery.worker.consumer import Consumer
from kombu.utils.json import dumps

from celery_impl.sidekiq.jobs import malformed
from celery_impl.sidekiq.memory.store import memory_store

Arguments = tuple[list[Any], dict[str, Any]]


class SidekiqConsumer(Consumer):
    """The consumer that `worker_consumer` names."""

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Bury a job whose task this worker does not know: deploy it, then retry the job."""
        name = message.headers.get("task")
        reason = f"no task {name!r} in this worker: deploy it, then retry the job"
        _bury(self.app, message, ("NotRegistered", reason), _arguments(message))
        if message.headers.get("id"):
            super().on_unknown_task(body, message, exc)
        else:
            super().on_unknown_message(body, message)

    def on_unknown_message(self, body: Any, message: Any) -> None:
        """Bury what is no job."""
        _bury(
            self.app,
            message,
            (malformed.ERROR_CLASS, "it names no task: something else than Celery wrote it"),
        )
        super().on_unknown_message(body, message)

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Bury a job whose parts a task cannot take."""
        _bury(self.app, message, (type(exc).__name__, str(exc)))
        super().on_invalid_task(body, message, exc)

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Bury a job whose body cannot be decoded."""
        _bury(self.app, message, (type(exc).__name__, f"its body cannot be decoded: {exc}"))
        super().on_decode_error(message, exc)


def _arguments(message: Any) -> Arguments:
    """Return what the task would have been called with, for the dead set; nothing where it cannot be read."""
    try:
        args, kwargs, _ = message.payload
        return list(args), dict(kwargs)
    except Exception:  # noqa: BLE001 - whatever a serialiser raises: the job is buried all the same
        return [], {}


def _bury(app: Any, message: Any, error: tuple[str, str], arguments: Arguments = ([], {})) -> None:
    queue = (message.delivery_info or {}).get("routing_key") or ""
    kept = memory_store(app)
    if kept is not None:
        text = dumps({"headers": message.headers, "properties": message.properties})
        kept.bury(
            replace(
                malformed.unknown(text, queue, error, headers=message.headers, arguments=arguments),
                message=None,
            )
        )
        return
    channel, raw = message.channel, message._raw  # noqa: SLF001 - pinned by a test
    key = channel.key(queue, raw)
    channel.sets.bury(malformed.unknown(dumps(raw), key, error, headers=message.headers, arguments=arguments))
