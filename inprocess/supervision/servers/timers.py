"""Timers of a server: the messages that it sends to itself later, and its idle timeout."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final

from inprocess.supervision.core.scheduler import Alarm, Scheduler


class _Timeout:
    """Type of TIMEOUT."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "TIMEOUT"


#: What `handle_info` receives at the end of an idle timeout.
TIMEOUT: Final = _Timeout()


class MessageTimer(Alarm):
    """A message that a server will send to itself. Made by `GenServer.send_after` and `send_at`."""

    __slots__ = ("earlier", "when")

    def __init__(
        self,
        scheduler: Scheduler,
        when: float,
        callback: Callable[[], object],
        earlier: MessageTimer | None,
    ) -> None:
        super().__init__(scheduler, callback)
        #: The moment, `scheduler.monotonic` seconds.
        self.when = when
        #: The timer that the same server has set before; the server ends them, so that none holds it.
        self.earlier = earlier

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the message is sent; None if it was sent or cancelled. OTP's `read_timer`."""
        return None if self.callback is None else max(0.0, self.when - self._scheduler.monotonic())


class IdleTimeout:
    """Calls `timed_out` when a server has rested for `seconds`; once for each `rested`.

    A server rests after every few messages, so it notes the moment and moves no timer: the timer looks at the
    moment when it fires, and waits for the rest of the time.
    """

    __slots__ = ("_scheduler", "_seconds", "_since", "_timed_out", "_when")

    def __init__(self, scheduler: Scheduler, seconds: float, timed_out: Callable[[], object]) -> None:
        self._scheduler = scheduler
        self._seconds = seconds
        self._timed_out = timed_out
        self._when = inf
        self._since = 0.0
        self.rested()

    def rested(self) -> None:
        """Note that the server has nothing to do from now on."""
        self._since = self._scheduler.monotonic()
        if self._when == inf:
            self._arm()

    def cancel(self) -> None:
        """Do not call it any more."""
        if self._when < inf:
            self._when = inf
            self._scheduler.forget()

    def fire(self, when: float, /) -> bool:
        """See `scheduler.Entry.fire`."""
        if when != self._when:
            return False
        self._when = inf
        if self._since + self._seconds > when:
            self._arm()
        else:
            self._timed_out()
        return True

    def awaits(self, when: float, /) -> bool:
        """See `scheduler.Entry.awaits`."""
        return when == self._when

    def _arm(self) -> None:
        self._when = self._since + self._seconds
        self._scheduler.at(self._when, self)
