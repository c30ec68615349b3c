"""The broker's clock, carried on between two answers by this process's monotonic clock.

So beats on machines whose clocks differ share one grid. A step of this machine's clock has no effect; a
step of the broker's clock takes effect with its next answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class ServerClock:
    """Seconds since 1970 as the broker has them, right to within the fastest answer seen, mostly below 1 ms.

    An answer says that the broker's clock was somewhere between two bounds, its moment and that plus the
    time that the answer took. An estimate that lies between stays as it is, so slow answers move no tick.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.monotonic = monotonic
        self._ahead: float | None = None

    def observe(self, server: float, *, sent: float) -> None:
        """Note that the broker answered with the time `server` just now, to a request sent at `sent`."""
        low, high = server - self.monotonic(), server - sent
        self._ahead = (low + high) / 2 if self._ahead is None else min(max(self._ahead, low), high)

    def now(self) -> float:
        """Return the broker's time; raise RuntimeError before the first answer."""
        if self._ahead is None:
            raise RuntimeError("the broker has not been asked for its time yet")
        return self.monotonic() + self._ahead
