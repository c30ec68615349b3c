"""A message of AMQP as text and back: what a `DeadJob` carries."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import amqp
from kombu.utils.json import dumps, loads


@dataclass(frozen=True, slots=True)
class Envelope:
    """The body of a message and its properties, its headers among them (`application_headers`)."""

    body: Any
    properties: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return the envelope in types that kombu's JSON knows."""
        raw = self.body.encode() if isinstance(self.body, str) else bytes(self.body or b"")
        return {"body": base64.b64encode(raw).decode(), "properties": self.properties}

    def dumps(self) -> str:
        """Return the envelope as text, always the same: the broker changes the order of headers."""
        return str(dumps(self.as_json(), sort_keys=True))

    @classmethod
    def loads(cls, text: str) -> Envelope:
        """Read a text that `dumps` wrote."""
        known = loads(text)
        return cls(base64.b64decode(known["body"]), known["properties"])

    def message(self, headers: dict[str, Any]) -> amqp.Message:
        """Return the message again, with these headers, to be kept on disk and for as long as it takes."""
        kept = {name: value for name, value in self.properties.items() if name != "expiration"}
        return amqp.Message(self.body, **{**kept, "application_headers": headers, "delivery_mode": 2})
