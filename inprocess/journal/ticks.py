"""JournalTicks: the last ticks of periodic servers as rows of a journal, for `Periodic.start(state=...)`."""

from __future__ import annotations

from inprocess.journal.model.job import SECOND
from inprocess.journal.model.operations import ReadTick, WriteTick
from inprocess.journal.sets import Asked


class JournalTicks:
    """A TickStore, see `inprocess.supervision.periodic`. Any thread, which waits. Raise JournalError."""

    def __init__(self, journal: Asked) -> None:
        self._journal = journal

    def load(self, name: str) -> float | None:
        """See `TickStore.load`."""
        last = self._journal.ask(ReadTick(name))
        return None if last is None else last / SECOND

    def save(self, name: str, moment: float) -> None:
        """See `TickStore.save`."""
        self._journal.ask(WriteTick(name, round(moment * SECOND)))
