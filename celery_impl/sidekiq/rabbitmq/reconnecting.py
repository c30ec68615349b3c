"""How long a worker waits before it connects again to a RabbitMQ whose connections do not last.

A RabbitMQ that has just started takes connections before its virtual host is up and its quorum queues have
a leader, and ends them with INTERNAL_ERROR. Celery connects again at once, five times a second. Each time may
count as a delivery of the job at the head of the queue, and three of those make it a dead one (`queues`).

1. A connection that has lasted `SETTLED_S` is followed by the next at once.
2. One that has not, or did not come about, is followed after `FIRST_S`; each one more after twice as long,
   up to `LONGEST_S`.
"""

from __future__ import annotations

from typing import Final

#: Seconds after which a connection is taken for a good one.
SETTLED_S: Final = 10.0
#: Seconds before the attempt after the first connection that did not last.
FIRST_S: Final = 2.0
#: Most seconds between two attempts.
LONGEST_S: Final = 30.0


class Backoff:
    """The waits of one worker; times are seconds of any one clock."""

    def __init__(self) -> None:
        self._failed = 0  # attempts so far, until one lasts
        self._connected_at: float | None = None

    def wait_s(self, now: float) -> float:
        """Return the seconds to wait before the attempt that is due now; each call is an attempt."""
        if self._connected_at is not None and now - self._connected_at >= SETTLED_S:
            self._failed = 0
        self._connected_at = None
        wait_s = min(FIRST_S * 2 ** (self._failed - 1), LONGEST_S) if self._failed else 0.0
        self._failed += 1
        return wait_s

    def connected(self, now: float) -> None:
        """The attempt has succeeded."""
        self._connected_at = now
