"""A message as the text that its row keeps, as kombu's transports write one, and back.

The body comes first: lists of a journal's jobs show the beginning.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

from kombu.utils.json import dumps, loads

from inprocess.celery.broker.broker import Envelope
from inprocess.celery.sending.errors import unserialisable

#: What names the task in protocol 1, whose headers do not.
_CALL = ("task", "id", "eta")


def text_of(envelope: Envelope) -> str:
    """Return the text of a message; raise EncodeError for headers or options that JSON cannot carry."""
    body = envelope.body
    fields = {
        "body": {"base64": base64.b64encode(body).decode()} if isinstance(body, bytes) else body,
        "content-type": envelope.content_type,
        "content-encoding": envelope.content_encoding,
        "headers": envelope.headers,
        "properties": envelope.properties,
        "exchange": envelope.exchange,
        "routing_key": envelope.routing_key,
        "call": None if envelope.call is None else {name: envelope.call.get(name) for name in _CALL},
    }
    try:
        return str(dumps(fields))
    except (TypeError, ValueError) as error:
        kept = [name for name, value in fields.items() if not _fits(value)]
        raise unserialisable(
            str(envelope.about.get("task")), ((), {}, {name: fields[name] for name in kept}), "json", error
        ) from error


def envelope_of(text: str, queue: str) -> Envelope:
    """Return the message of a text; raise ValueError or KeyError for anything else."""
    found = loads(text)
    body = found["body"]
    if isinstance(body, dict) and body.keys() == {"base64"}:
        body = base64.b64decode(body["base64"])
    return Envelope(
        queue, body, found["content-type"], found["content-encoding"], found["headers"], found["properties"],
        found["exchange"], found["routing_key"], call=found["call"],
    )  # fmt: skip


def due_of(envelope: Envelope, now_us: int) -> int:
    """Return when a message may be delivered, microseconds since 1970."""
    eta = envelope.about.get("eta")
    if eta is None:
        return now_us
    when = eta if isinstance(eta, datetime) else datetime.fromisoformat(eta)
    when = when.replace(tzinfo=UTC) if when.tzinfo is None else when
    return max(now_us, int(when.timestamp() * 1_000_000))


def _fits(value: Any) -> bool:
    try:
        json.dumps(value, default=str)
    except (TypeError, ValueError):
        return False
    return True
