"""Refusals, in one line that says what was wrong, where, and what to do.

Types are Celery's and kombu's own, so that an app's `except` clauses keep working.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kombu.exceptions import EncodeError, OperationalError
from kombu.serialization import dumps


def refused(why: str) -> OperationalError:
    """Return the error for a task that is sent when none is accepted; the type of a lost broker."""
    return OperationalError(why)


def unserialisable(task: str | None, body: Any, serializer: str | None, error: Exception) -> EncodeError:
    """Return the error for arguments that the serialiser refuses, with the task and the path of the first."""
    serializer = serializer or "json"
    path, culprit = _culprit(body, serializer)
    return EncodeError(
        f"{task}: {path} is a {type(culprit).__name__}, which {serializer} cannot carry ({error}): "
        "send something plain, such as an id, or run the app with strict=False to pass it by reference"
    )


def _culprit(body: Any, serializer: str) -> tuple[str, Any]:
    """Return the innermost value that cannot be serialised, with its path."""
    if isinstance(body, dict):  # protocol 1
        links = {name: body.get(name) for name in ("callbacks", "errbacks", "chord")}
        body = body["args"], body["kwargs"], links
    args, kwargs, embed = body
    path, value = next(
        (part for part in (("args", args), ("kwargs", kwargs)) if not _fits(part[1], serializer)),
        ("the task's links", embed),
    )
    found = True
    while found:
        found = False
        for name, child in _children(value):
            if not _fits(child, serializer):
                path, value, found = f"{path}[{name!r}]", child, True
                break
    return path, value


def _children(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list | tuple):
        yield from enumerate(value)


def _fits(value: Any, serializer: str) -> bool:
    try:
        dumps(value, serializer=serializer)
    except (EncodeError, TypeError, ValueError):
        return False
    return True
