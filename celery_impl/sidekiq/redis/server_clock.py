"""The broker's clock: in a script, and carried on between two answers by this process's monotonic clock.

Each script that begins with `CLOCK_MS` or `CLOCK_S` takes `time_argument(now)` as its first argument. Tests
pass a time; in production it is "", so that the clocks of workers and senders do not matter.

So beats on machines whose clocks differ share one grid, and a job that waits is due by one clock, whichever
machines sent it and queue it. A step of this machine's clock has no effect; a step of the broker's clock
takes effect with its next answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf
from typing import Any, Final

import redis

#: Seconds by which the broker's clock must be behind what it said before to count as stepped back.
STEP_S: Final = 1.0
#: Seconds for which an answer of the broker is carried on.
ASK_AGAIN_S: Final = 5.0

_CLOCK: Final = """
local function clock()
    if ARGV[1] ~= '' then return tonumber(ARGV[1]) end
    local time = redis.call('TIME')
    return %s
end
"""
#: In Lua: `clock()` returns whole milliseconds since 1970.
CLOCK_MS: Final = _CLOCK % "time[1] * 1000 + math.floor(time[2] / 1000)"
#: In Lua: `clock()` returns seconds since 1970, with their fraction.
CLOCK_S: Final = _CLOCK % "time[1] + time[2] / 1000000"


def time_argument(now: float | None) -> str:
    """Return the first argument of a script with a clock; None stands for the server's time."""
    return "" if now is None else repr(now)


class ServerClock:
    """Seconds since 1970 as the broker has them, right to within the fastest answer seen, mostly below 1 ms.

    An answer says that the broker's clock was somewhere between two bounds, its moment and that plus the
    time that the answer took. An estimate that lies between stays as it is, so slow answers move no tick.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.monotonic = monotonic
        self._ahead: float | None = None

    def observe(self, server: float, *, sent: float) -> bool:
        """Note that the broker answered with the time `server` just now, to a request sent at `sent`.

        Return whether its clock has stepped back by more than STEP_S since the last answer.
        """
        low, high = server - self.monotonic(), server - sent
        before = self._ahead
        self._ahead = (low + high) / 2 if before is None else min(max(before, low), high)
        return before is not None and self._ahead < before - STEP_S

    def now(self) -> float:
        """Return the broker's time; raise RuntimeError before the first answer."""
        if self._ahead is None:
            raise RuntimeError("the broker has not been asked for its time yet")
        return self.monotonic() + self._ahead


class AskedClock:
    """The broker's time for who needs it now and then: `client` asks for it, at most every ASK_AGAIN_S."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._clock = ServerClock()
        self._asked = -inf

    def now(self) -> float:
        """Return the broker's time in seconds since 1970; raise redis-py's errors where it must be asked."""
        sent = self._clock.monotonic()
        if sent - self._asked > ASK_AGAIN_S:
            answer: Any = self._client.time()
            self._clock.observe(answer[0] + answer[1] / 1e6, sent=sent)
            self._asked = sent
        return self._clock.now()
