"""Locks of unique jobs and the counts of limits, in memory: what `unique_lua` and `rate_limit` do in Redis.

Times are ms of this process's clock.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_right, insort


class MemoryLocks:
    """The locks of one app. Any thread."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[int, str]] = {}
        self._guard = threading.Lock()

    def take(self, digest: str, job_id: str, for_ms: int, *, now: int | None = None) -> str | None:
        """Take the lock or renew it, never shortening it; return the id of the other job that holds it."""
        moment = _now() if now is None else now
        with self._guard:
            self._locks = {key: lock for key, lock in self._locks.items() if lock[0] > moment}
            ends, holder = self._locks.get(digest, (0, job_id))
            if holder != job_id:
                return holder
            self._locks[digest] = (max(ends, moment + for_ms), job_id)
            return None

    def free(self, digest: str, job_id: str) -> bool:
        """Free the lock where this job holds it; return whether it did."""
        with self._guard:
            held = self._locks.get(digest, (0, None))[1] == job_id
            if held:
                del self._locks[digest]
            return held

    def holder(self, digest: str, *, now: int | None = None) -> str | None:
        """Return the id of the job that holds the lock, or None."""
        moment = _now() if now is None else now
        ends, holder = self._locks.get(digest, (0, None))
        return holder if ends > moment else None


class MemoryLimits:
    """The uses of the limits of one app, by kind and name. Any thread."""

    def __init__(self) -> None:
        #: When each use stops counting, with its id; ascending.
        self._uses: dict[str, list[tuple[int, str]]] = {}
        self._guard = threading.Lock()

    def ask(self, kind: str, name: str, count: int, span_ms: int, use: str, *, now: int | None = None) -> int:
        """Begin a use: 0 where there is room, else ms until there may be."""
        moment = _now() if now is None else now
        ends = (moment // span_ms + 1) * span_ms if kind == "bucket" else moment + span_ms
        with self._guard:
            uses = self._uses.setdefault(f"{kind}:{name}", [])
            del uses[: bisect_right(uses, (moment, "\U0010ffff"))]
            if len(uses) < count:
                insort(uses, (ends, use))
                return 0
            first = uses[0 if kind == "concurrent" else len(uses) - count][0]
            return max(1, first - moment)

    def leave(self, kind: str, name: str, use: str) -> bool:
        """End a use; return whether it still counted."""
        with self._guard:
            uses = self._uses.get(f"{kind}:{name}", [])
            left = [known for known in uses if known[1] != use]
            found = len(left) < len(uses)
            uses[:] = left
            return found


def _now() -> int:
    return time.time_ns() // 1_000_000
