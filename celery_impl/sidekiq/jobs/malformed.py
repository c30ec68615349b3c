"""Finds out what in a queue is no job, and makes a dead job of it, with the reason."""

from __future__ import annotations

import base64
import json
import time
from typing import Any, Final

from celery_impl.sidekiq.jobs.entry_format import MESSAGE_LIMIT, DeadJob, queue_name, stand_in_id

#: The error class of what is no message.
ERROR_CLASS: Final = "MalformedMessage"


def problem(item: bytes) -> str | None:
    """Return why kombu cannot take this for a message, or None where it can."""
    try:
        message = json.loads(item)
        properties = message["properties"]
        _ = properties["delivery_tag"], message["headers"].get, properties["delivery_info"]["exchange"]
        if message.get("body") and properties.get("body_encoding") == "base64":
            base64.b64decode(message["body"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        return f"no message of Celery: {type(error).__name__}: {error}"
    return None


def dead_job(item: bytes, queue_key: str, reason: str, *, now: float | None = None) -> DeadJob:
    """Return a dead job for what stood in the queue with this key; its message is that, as text."""
    return unknown(item.decode(errors="backslashreplace"), queue_key, (ERROR_CLASS, reason), now=now)


def unknown(
    text: str,
    queue_key: str,
    error: tuple[str, str],
    *,
    headers: Any = None,
    arguments: tuple[list[Any], dict[str, Any]] = ([], {}),
    now: float | None = None,
) -> DeadJob:
    """Return a dead job for a message that no task can run; `error` is its class and text."""
    known = headers if isinstance(headers, dict) else {}
    when = time.time() if now is None else now
    return DeadJob(
        id=str(known.get("id") or stand_in_id(text)),
        task=str(known.get("task") or ""),
        args=list(arguments[0]),
        kwargs=dict(arguments[1]),
        queue=queue_name(queue_key),
        retries=_number(known.get("retries")),
        error_class=error[0],
        error_message=error[1][:MESSAGE_LIMIT],
        failed_at=when,
        buried_at=when,
        queue_key=queue_key,
        message=text,
    )


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
