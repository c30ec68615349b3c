"""Debug: what `sys` has a server record, between `log`, `statistics` or `trace` and their end."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, cast

from inprocess.supervision.core.log import log
from inprocess.supervision.core.scheduler import Scheduler
from inprocess.supervision.servers.server_report import Shows, redacted_message

Kind = Literal["call", "cast", "info", "continue", "reply"]


@dataclass(frozen=True, slots=True)
class Event:
    """One message that came in, or one reply that went out, as `format_status` lets show it."""

    #: By the server's clock, s.
    at: float
    kind: Kind
    message: str
    #: Who called, for a call and its reply.
    client: str | None = None

    def __str__(self) -> str:
        if self.kind == "reply":
            return f"sent the reply {self.message} to {self.client}"
        return f"got {self.kind} {self.message}" + (f" from {self.client}" if self.client else "")


@dataclass(frozen=True, slots=True)
class Statistics:
    """What was counted since `sys.statistics(server, "start")`."""

    #: Wall clock, seconds since 1970.
    since: float
    now: float
    messages_in: int
    messages_out: int


Trace = Callable[[Event], object]


class Recorded(Shows, Protocol):
    """The server whose events these are."""

    @property
    def scheduler(self) -> Scheduler:
        """Where it lives."""


class Debug:
    """What one server records. On its loop's thread."""

    __slots__ = ("_in", "_out", "_server", "_since", "events", "trace")

    def __init__(self, server: Recorded) -> None:
        self._server = server
        #: The last events, the oldest first; None where none are kept.
        self.events: deque[Event] | None = None
        self.trace: Trace | None = None
        self._since: float | None = None
        self._in = self._out = 0

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to record."""
        return self.events is None and self.trace is None and self._since is None

    def count(self, *, on: bool) -> None:
        """Count from 0, or count no longer."""
        self._since = time.time() if on else None
        self._in = self._out = 0

    def counted(self) -> Statistics | None:
        """The counts; None where nothing was counted."""
        if self._since is None:
            return None
        return Statistics(self._since, time.time(), self._in, self._out)

    def received(self, kind: str, payload: object, client: Callable[[], str] | None) -> None:
        """Note a message that is about to be handled; `client` tells who called, for a call."""
        self._in += 1
        self._record(cast("Kind", kind), payload, client)

    def replied(self, value: object, client: Callable[[], str]) -> None:
        """Note a reply; `client` tells who called."""
        self._out += 1
        self._record("reply", value, client)

    def _record(self, kind: Kind, payload: object, client: Callable[[], str] | None) -> None:
        if self.events is not None or self.trace is not None:
            self._note(Event(self._now(), kind, self._text(payload), None if client is None else client()))

    def _now(self) -> float:
        return self._server.scheduler.monotonic()

    def _text(self, message: object) -> str:
        return redacted_message(self._server, message)

    def _note(self, event: Event) -> None:
        if self.events is not None:
            self.events.append(event)
        if self.trace is not None:
            try:
                self.trace(event)
            except Exception:  # noqa: BLE001 - what watches must not end what is watched
                self.trace = None
                log.exception("the trace of %s failed and was ended", self._server.name)
