"""What keeps the sets of an app: Redis, or the memory of the process that runs the app.

The sets are `schedule` and `retry`, scored by when a job is due, and `dead`, scored by when it was buried.
An entry
is bytes, as `entry_format` writes them; times are seconds since the epoch. Each move of an entry is one step:
of two callers one moves it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol


class JobStore(Protocol):
    """The sets of one app, by their names."""

    def each(self, name: str) -> Iterator[tuple[bytes, float]]:
        """Entries and scores of a set, newest first; what stays there is seen exactly once."""

    def size(self, name: str) -> int:
        """How many entries a set has."""

    def lowest(self, name: str) -> float | None:
        """The lowest score in a set; None where it is empty."""

    def containing(self, name: str, text: str) -> Iterator[tuple[bytes, float]]:
        """Entries and scores of those that contain the text."""

    def requeue(self, name: str, jobs: Iterable[tuple[bytes, str, str]]) -> int:
        """Queue each (entry, key of its queue, message) that is still there; return how many were."""

    def kill(self, name: str, dead_jobs: Iterable[tuple[bytes, str]], *, now: float) -> int:
        """Move each (entry, entry of the dead set) that is still there; return how many were."""

    def delete(self, name: str, members: Iterable[bytes]) -> int:
        """Delete these entries, and free the places of unique jobs; return how many were still there."""

    def clear(self, name: str) -> int:
        """Delete all of a set in one step, as `delete`; return how many there were."""
