"""Collects what a channel is given to send, instead of sending it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Capturing:
    """A part of a channel; its own sending asks `_caught`."""

    #: While not None: what is sent is collected here, as key of the queue and message, and not sent.
    _caught: list[tuple[str, str]] | None = None

    @contextmanager
    def captured(self) -> Iterator[list[tuple[str, str]]]:
        """Collect what this channel is given to send, as key of its queue and message, and send nothing."""
        caught: list[tuple[str, str]] = []
        self._caught = caught
        try:
            yield caught
        finally:
            self._caught = None
