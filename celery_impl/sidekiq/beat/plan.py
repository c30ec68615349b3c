"""The entries of a beat in the order in which they are due, and what there is to do with the next one."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping

from celery_impl.sidekiq.beat.policies import Tick, look
from celery_impl.sidekiq.beat.schedule_entries import Item
from celery_impl.sidekiq.beat.sent_ticks import Row


class Plan:
    """Each entry with the last tick that was dealt with; `since` names those that are known, `now` is now.

    An entry that is new begins with the first tick that lies ahead.
    """

    def __init__(self, items: Iterable[Item], since: Mapping[str, float], *, now: float) -> None:
        self._items = {item.name: item for item in items}
        self._since = {name: since.get(name, now) for name in self._items}
        self._heap = [(item.timetable.after(self._since[name]), name) for name, item in self._items.items()]
        heapq.heapify(self._heap)

    def rows(self) -> list[Row]:
        """What is to be written down of the entries."""
        return [self._row(self._items[name], due) for due, name in self._heap]

    def wait_s(self, now: float) -> float | None:
        """Seconds until an entry is due, 0.0 where one is; None without entries."""
        return max(0.0, self._heap[0][0] - now) if self._heap else None

    def due(self, now: float) -> tuple[Item, Tick, float] | None:
        """An entry that is due, its last tick that is, and the tick after that; None where there is none."""
        if not self._heap or self._heap[0][0] > now:
            return None
        item = self._items[self._heap[0][1]]
        tick = look(item.timetable, item.policy, since=self._since[item.name], now=now)
        return None if tick is None else (item, tick, item.timetable.after(tick.due))

    def dealt(self, item: Item, tick: Tick, after: float) -> None:
        """The tick is dealt with; the next is due at `after`."""
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
