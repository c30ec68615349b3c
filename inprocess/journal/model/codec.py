"""Codecs: what turns the JSON of arguments into the bytes that a row keeps, such as an encryption.

The name of the codec stands in the row, so that keys can be changed: new jobs are written by the first
codec, rows of the others are still read. A body that no codec reads parks its job.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from inprocess.journal.model import arguments
from inprocess.journal.model.errors import CodecError
from inprocess.supervision.core.redact import repr_of


class Codec(Protocol):
    """Turns bytes into bytes and back. `encode` runs on the caller's thread, `decode` on the loop's."""

    @property
    def name(self) -> str:
        """The name that rows keep."""

    def encode(self, body: bytes, /) -> bytes:
        """Return what the row keeps."""

    def decode(self, body: bytes, /) -> bytes:
        """Return what `encode` was given; raise any error if that is not possible."""


class Codecs:
    """The codecs of a journal; without any, rows keep plain JSON."""

    def __init__(self, codecs: Iterable[Codec] = ()) -> None:
        self._codecs = {codec.name: codec for codec in codecs}
        self._first = next(iter(self._codecs.values()), None)

    @property
    def name(self) -> str | None:
        """The name of the codec that new rows are written with; None for plain JSON."""
        return None if self._first is None else self._first.name

    def dumps(self, task: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
        """Return the bytes of these arguments; raise ArgumentsError."""
        body = arguments.dumps(task, args, kwargs)
        return body if self._first is None else self._first.encode(body)

    def loads(self, codec: str | None, body: bytes) -> tuple[list[Any], dict[str, Any]]:
        """Return the arguments of a row; raise CodecError."""
        if codec is not None and codec not in self._codecs:
            known = ", ".join(self._codecs) or "none"
            raise CodecError(f"no codec {codec!r} here (known: {known}): add it to Journal(codecs=[...])")
        try:
            return arguments.loads(body if codec is None else self._codecs[codec].decode(body))
        except Exception as error:
            read_by = "JSON" if codec is None else f"the codec {codec!r}"
            raise CodecError(f"{read_by} does not read the arguments: {repr_of(error)}") from error
