"""What a proxy does to a stream, as data; the package's docstring tells what each does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

Stream = Literal["upstream", "downstream"]

STREAMS: tuple[str, ...] = (*get_args(Stream), "both")
#: The attributes of each type with their defaults; milliseconds, bytes, and kB/s for `rate`.
TYPES: dict[str, dict[str, float]] = {
    "latency": {"latency": 0, "jitter": 0},
    "bandwidth": {"rate": math.nan},
    "slicer": {"average_size": math.nan, "delay": 0},
    "limit_data": {"bytes": math.nan},
    "timeout": {"timeout": 0},
    "reset_peer": {"timeout": 0},
}
#: Attributes that must be above 0; the others may be 0.
_POSITIVE = ("rate", "average_size")


class ToxicError(ValueError):
    """A toxic that cannot be used; the text says which field and what is expected."""


@dataclass(frozen=True, slots=True)
class Toxic:
    """One thing that goes wrong; raise ToxicError for one that cannot."""

    type: str
    attributes: Mapping[str, float] = field(default_factory=dict)
    stream: str = "downstream"
    toxicity: float = 1.0
    name: str = ""

    def __post_init__(self) -> None:
        if self.type not in TYPES:
            raise ToxicError(f"type is {self.type!r}: expected one of {', '.join(TYPES)}")
        if self.stream not in STREAMS:
            raise ToxicError(f"stream is {self.stream!r}: expected one of {', '.join(STREAMS)}")
        if not _number(self.toxicity) or not 0 <= self.toxicity <= 1:
            raise ToxicError(f"toxicity is {self.toxicity!r}: expected 0 to 1")
        if not isinstance(self.attributes, Mapping):
            raise ToxicError(f"attributes is {self.attributes!r}: expected an object")
        if "/" in str(self.name):
            raise ToxicError(f"name is {self.name!r}: expected no slash")
        self._check_attributes()
        object.__setattr__(self, "attributes", {**TYPES[self.type], **self.attributes})
        object.__setattr__(self, "name", self.name or f"{self.type}_{self.stream}")

    def _check_attributes(self) -> None:
        known = TYPES[self.type]
        if unknown := sorted(set(map(str, self.attributes)) - set(known)):
            raise ToxicError(f"{self.type} has no attribute {unknown[0]!r}: expected {', '.join(known)}")
        for name, default in known.items():
            value = self.attributes.get(name, default)
            if not _number(value) or value < 0 or (name in _POSITIVE and not value):
                least = "above 0" if name in _POSITIVE else "0 or more"
                raise ToxicError(f"{name} of {self.type} is {value!r}: expected a number, {least}")

    @classmethod
    def from_json(cls, value: Any) -> Toxic:
        """Build a toxic of a JSON object; raise ToxicError for one that cannot be used."""
        if not isinstance(value, Mapping) or "type" not in value:
            raise ToxicError("expected a JSON object with at least a type")
        if unknown := sorted(set(map(str, value)) - {"type", "attributes", "stream", "toxicity", "name"}):
            raise ToxicError(f"unknown field {unknown[0]!r}")
        return cls(**value)

    @classmethod
    def from_text(cls, text: str) -> Toxic:
        """Read `type[@stream][:attribute=number,…]`, as on the command line."""
        head, _, tail = text.partition(":")
        kind, _, stream = head.partition("@")
        attributes: dict[str, float] = {}
        for pair in filter(None, tail.split(",")):
            name, _, number = pair.partition("=")
            try:
                attributes[name] = float(number)
            except ValueError as error:
                raise ToxicError(f"{pair!r} in {text!r}: expected attribute=number") from error
        return cls(kind, attributes, stream or "downstream")

    def to_json(self) -> dict[str, Any]:
        """The toxic as a JSON object."""
        return asdict(self)

    def hits(self, stream: Stream) -> bool:
        """Whether it acts on this stream."""
        return self.stream in {stream, "both"}


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
