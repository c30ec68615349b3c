"""Debug: what `sys.log`, `sys.statistics` and `sys.trace` record of a server."""

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
    """One received message or one sent reply, as `format_status` shows it."""

    #: By the server's clock, s.
    at: float
    kind: Kind
    message: str
    #: The caller, for a call and its reply.
    client: str | None = None

    def __str__(self) -> str:
        if self.kind == "reply":
            return f"sent the reply {self.message} to {self.client}"
        return f"got {self.kind} {self.message}" + (f" from {self.client}" if self.client else "")


@dataclass(frozen=True, slots=True)
class Statistics:
    """The counts since `sys.statistics(server, "start")`."""

    #: Wall clock, seconds since 1970.
    since: float
    now: float
    messages_in: int
    messages_out: int


Trace = Callable[[Event], object]


class Recorded(Shows, Protocol):
    """The process of the recorded server."""

    @property
    def scheduler(self) -> Scheduler:
        """The scheduler it lives on."""


class Debug:
    """The records of one server. Loop's thread only."""

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
        """Whether it records nothing."""
        return self.events is None and self.trace is None and self._since is None

    def count(self, *, on: bool) -> None:
        """Start counting from 0, or stop counting."""
        self._since = time.time() if on else None
        self._in = self._out = 0

    def counted(self) -> Statistics | None:
        """Return the counts; None if nothing is counted."""
        if self._since is None:
            return None
        return Statistics(self._since, time.time(), self._in, self._out)

    def received(self, kind: str, payload: object, client: Callable[[], str] | None) -> None:
        """Record a message before it is handled; `client` describes the caller of a call."""
        self._in += 1
        self._record(cast("Kind", kind), payload, client)

    def replied(self, value: object, client: Callable[[], str]) -> None:
        """Record a reply; `client` describes the caller."""
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
            except BaseException:  # noqa: BLE001 - a trace must not crash the server that it traces
                self.trace = None
                log.exception("the trace of %s failed and was ended", self._server.name)
