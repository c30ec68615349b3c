"""Celery's consumer, but it puts a message that no task can run into the dead set instead of dropping it.

The pool solo has one place, whatever the concurrency: its window is the prefetch multiplier, where Celery's
is that times the machine's cores. What such a worker of the lease transport has run, it acknowledges at once,
in the same thread, where Celery's does it in a later turn of its event loop.

Celery logs an unknown task name, a message that it cannot decode or one that is none of a task, and
acknowledges it: it is lost. Here it is buried with the reason before. A kill between the two buries it
twice; a broker that is away ends the connection, and the message is delivered again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from celery.concurrency import solo
from celery.exceptions import InvalidTaskError
from celery.worker.consumer import Consumer
from kombu.exceptions import ContentDisallowed, DecodeError
from kombu.utils.json import dumps

from celery_impl.sidekiq.jobs import malformed
from celery_impl.sidekiq.lease.channel import Channel
from celery_impl.sidekiq.memory.store import memory_store

Arguments = tuple[list[Any], dict[str, Any]]


class SidekiqConsumer(Consumer):
    """The consumer that `worker_consumer` names."""

    task_consumer: Any
    strategies: Any
    on_task_message: Any
    # Private to Celery, pinned by a test.
    _maximum_prefetch_restored: bool

    def __init__(self, *args: Any, **options: Any) -> None:
        """As Celery's; the window of the pool solo is the multiplier."""
        if _runs_jobs_in_turn(options.get("pool")):
            options["initial_prefetch_count"] = options.get("prefetch_multiplier", 1)
        super().__init__(*args, **options)

    def create_task_handler(self, *args: Any, **options: Any) -> Any:
        """As Celery's; a job of the pool solo is acknowledged without a turn of the event loop."""
        celerys: Any = super().create_task_handler(*args, **options)
        channel = getattr(self.task_consumer, "channel", None)  # in-process there is none
        if not (isinstance(channel, Channel) and _runs_jobs_in_turn(self.pool)):
            return celerys
        channel.runs_jobs_in_turn = True
        strategies, callbacks = self.strategies, self.on_task_message

        def on_task_received(message: Any) -> Any:
            try:
                strategy = strategies[message.headers["task"]]
            except (TypeError, KeyError):
                return celerys(message)
            if not self._maximum_prefetch_restored:  # Celery widens the window by each acknowledgement
                return celerys(message)
            try:
                strategy(message, None, message.ack_log_error, message.reject_log_error, callbacks)
            except (InvalidTaskError, ContentDisallowed) as error:
                self.on_invalid_task(None, message, error)
            except DecodeError as error:
                self.on_decode_error(message, error)
            return None

        return on_task_received

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


def _runs_jobs_in_turn(pool: Any) -> bool:
    """Return whether handing a job to the pool runs it; one of another class may say so by an attribute."""
    return isinstance(pool, solo.TaskPool) or getattr(pool, "runs_jobs_in_turn", False)


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
