"""The jobs of a block that have not ended yet, kept up to date from the tail of its ledger.

A block waits for them while the last jobs are measured, so each look reads the new events alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.measures.events.block import Event
from bench.measures.events.history import JobHistory, add_event, names_of, user_of

Condition = Callable[[JobHistory], bool]


class OutstandingJobs:
    """Jobs that fulfil `counts` and not yet `has_ended`; both look at the events of one job so far."""

    def __init__(self, *, counts: Condition, has_ended: Condition) -> None:
        self._counts = counts
        self._has_ended = has_ended
        self._read = 0
        self._histories: dict[str, JobHistory] = {}
        self._counted: set[str] = set()
        self._outstanding: set[str] = set()

    @property
    def counted(self) -> int:
        """How many jobs count, whether they have ended or not."""
        return len(self._counted)

    def none_left(self, events: Sequence[Event]) -> bool:
        """Read what is new in `events`, which only ever grows; return whether no job is outstanding."""
        changed = {name for event in events[self._read :] for name in self._add(event)}
        self._read = len(events)
        for name in changed:
            job = self._histories[name]
            counts = self._counts(job)
            _keep(self._counted, name, keep=counts)
            _keep(self._outstanding, name, keep=counts and not self._has_ended(job))
        return not self._outstanding

    def _add(self, event: Event) -> tuple[str, ...]:
        names = names_of(event)
        for name in names:
            new = JobHistory(event["scenario"], name, key=user_of(name))
            add_event(self._histories.setdefault(name, new), event)
        return names


def _keep(names: set[str], name: str, *, keep: bool) -> None:
    if keep:
        names.add(name)
    else:
        names.discard(name)
