"""Look at periodic work: `PeriodicEntries(app)`, from any process of the app.

for entry in PeriodicEntries(app):
    print(entry.name, entry.last_run_at, entry.next_at, entry.misfires)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from celery import Celery

from celery_impl.sidekiq.beat.lease import LEASE
from celery_impl.sidekiq.beat.runs import RUNS
from celery_impl.sidekiq.beat.sent_ticks import COUNTS, ENTRIES, ENTRY
from celery_impl.sidekiq.redis.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodicEntry:
    """An entry as the beat that holds the lease wrote it down. Times are seconds since the epoch.

    `last_run_at`: when its last run was queued, `job` is that run's id; None before the first. `tick`: the
    last tick that was served or dropped, or since when the entry is known. `next_at`: the tick that is due
    next; in the past if no beat is alive. `under_way`: runs that are queued or running, of an entry whose
    overlap is skip, else None. The counts are of ticks: `runs` were queued; the others were dropped, since
    no beat could serve them in time (`misfires`), their predecessor was under way (`overlaps`), or nothing
    could be queued (`refusals`).
    """

    name: str
    task: str
    schedule: str
    overlap: str
    misfire: str
    tick: float
    next_at: float
    last_run_at: float | None
    job: str | None
    under_way: int | None
    runs: int
    misfires: int
    overlaps: int
    refusals: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The beat that sends: its host and process id, since when, and until when unless it renews."""

    host: str
    pid: int
    since: float
    until: float


class PeriodicEntries:
    """The entries of an app's beat, by name; raise NoSidekiqError for an app that has none to look at."""

    def __init__(self, app: Celery, *, clock: Callable[[], float] = time.time) -> None:
        self._store = Store.of(app, "PeriodicEntries")
        self._clock = clock

    def __iter__(self) -> Iterator[PeriodicEntry]:
        """Each entry at this moment; raise the broker's errors."""
        names: Any = self._store.client.smembers(self._store.prefix + ENTRIES)
        found = (self.find(name) for name in sorted(name.decode() for name in names))
        yield from (entry for entry in found if entry is not None)

    def find(self, name: str) -> PeriodicEntry | None:
        """Return the entry of this name, or None."""
        with self._store.client.pipeline(transaction=True) as pipe:
            pipe.hgetall(f"{self._store.prefix}{ENTRY}{name}")
            pipe.zcount(f"{self._store.prefix}{RUNS}{name}", f"({self._clock()!r}", "+inf")
            known, under_way = pipe.execute()
        return _read(name, _texts(known), under_way) if known else None

    def size(self) -> int:
        """Return how many entries there are."""
        return int(self._store.client.scard(self._store.prefix + ENTRIES))

    def holder(self) -> Holder | None:
        """Return the beat that sends; None where none was alive a moment ago."""
        answer: Any = self._store.client.hgetall(self._store.prefix + LEASE)
        known = _texts(answer)
        if not known or float(known["until"]) <= self._clock():
            return None
        host, pid, _ = known["holder"].rsplit(":", 2)
        return Holder(host=host, pid=int(pid), since=float(known["since"]), until=float(known["until"]))


def _texts(known: dict[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in known.items()}


def _read(name: str, known: dict[str, str], under_way: int) -> PeriodicEntry:
    last = known.get("last_run_at")
    return PeriodicEntry(
        name=name,
        task=known["task"],
        schedule=known["schedule"],
        overlap=known["overlap"],
        misfire=known["misfire"],
        tick=float(known["due"]),
        next_at=float(known["next"]),
        last_run_at=None if last is None else float(last),
        job=known.get("job"),
        under_way=under_way if known["overlap"] == "skip" else None,
        **{count: int(known.get(count, 0)) for count in COUNTS},
    )
