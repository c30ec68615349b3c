"""The entries of `beat_schedule` as the beat needs them: checked, and in the order in which they are due."""

from __future__ import annotations

import heapq
import math
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from celery.exceptions import ImproperlyConfigured
from celery.schedules import crontab

from celery_impl.sidekiq.beat.policies import OPTIONS, Policy, PolicyError, Tick, due_tick
from celery_impl.sidekiq.beat.sent_ticks import Row
from celery_impl.sidekiq.beat.timetable import Grid, Timetable, TimetableError, timetable
from celery_impl.sidekiq.redis.server_clock import STEP_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One entry: its task, its timetable and its policies.

    `schedule` is its schedule in words, the same in every beat. `options` are `apply_async`'s alone.
    """

    name: str
    task: str
    schedule: str
    timetable: Timetable
    policy: Policy
    options: Mapping[str, Any]


def item_of(entry: Any, *, cron_deadline_s: float | None = None) -> Item:
    """Return the item of a `ScheduleEntry`; `cron_deadline_s` is the grace of a crontab without one.

    Raise ImproperlyConfigured, which names the entry and the option, where one makes no sense.
    """
    options = entry.options or {}
    grace_s = cron_deadline_s if isinstance(entry.schedule, crontab) else None
    try:
        policy = Policy.of(options, grace_s=math.inf if grace_s is None else grace_s)
        times = timetable(entry.schedule)
        times.after(time.time())
    except (PolicyError, TimetableError) as error:
        raise ImproperlyConfigured(f"beat_schedule[{entry.name!r}]: {error}") from error
    return Item(
        name=entry.name,
        task=entry.task,
        schedule=_in_words(times, entry.schedule),
        timetable=times,
        policy=policy,
        options={name: value for name, value in options.items() if name not in OPTIONS},
    )


class Plan:
    """The entries in the order in which they are due.

    `since` is the last tick of each known entry; a new entry begins with its first tick after `now`. So does
    one whose last tick is ahead of `now` by more than STEP_S: the broker's clock has stepped back since.
    """

    def __init__(self, items: Iterable[Item], since: Mapping[str, float], *, now: float) -> None:
        self._items = {item.name: item for item in items}
        known = {name: tick for name, tick in since.items() if tick <= now + STEP_S}
        self._since = {name: known.get(name, now) for name in self._items}
        self._heap = [(item.timetable.after(self._since[name]), name) for name, item in self._items.items()]
        heapq.heapify(self._heap)

    def rows(self) -> list[Row]:
        """Return the rows to be written for the entries."""
        return [self._row(self._items[name], due) for due, name in self._heap]

    def wait_s(self, now: float) -> float | None:
        """Return the seconds until an entry is due, 0.0 where one is; None without entries."""
        return max(0.0, self._heap[0][0] - now) if self._heap else None

    def due(self, now: float) -> tuple[Item, Tick, float] | None:
        """Return an entry that is due, its last tick that is due, and the next tick; None if none is."""
        if not self._heap or self._heap[0][0] > now:
            return None
        item = self._items[self._heap[0][1]]
        tick = due_tick(item.timetable, item.policy, since=self._since[item.name], now=now)
        return None if tick is None else (item, tick, item.timetable.after(tick.due))

    def advance(self, item: Item, tick: Tick, after: float) -> None:
        """Note that the tick was served or dropped; the next one is due at `after`."""
        self._since[item.name] = tick.due
        heapq.heapreplace(self._heap, (after, item.name))

    def _row(self, item: Item, due: float) -> Row:
        return Row(
            name=item.name,
            schedule=item.schedule,
            due=self._since[item.name],
            next=due,
            task=item.task,
            overlap=item.policy.overlap,
            misfire=item.policy.misfire,
        )


def _in_words(times: object, of: object) -> str:
    if isinstance(times, Grid):
        return f"every {times.interval_s:.15g} s"
    return re.sub(" at 0x[0-9a-f]+", "", repr(of)).strip("<>")  # an address differs from beat to beat
