"""LeaseClient: whether this beat is the one that sends. The beat's own loop calls it.

1. Every beat starts one of these. Each requests the lease, and one gets it.
2. The holder renews every third of `ttl_s`, between two ticks: nothing but this loop sends, so nothing has
   to be stopped when the lease is lost.
3. The others request it again when the holder's time would be over, and after RETRY_S at the latest, and see
   whether it has renewed meanwhile.
4. At its end a beat gives the lease back, so that another goes on at once. After a kill another goes on when
   the lease has run out.

Two beats never send one tick, whatever happens to their clocks and processes:

1. A holds the lease, finds a tick due and stops (SIGSTOP, a suspended machine) before it sends.
2. A's lease runs out; B takes it, and sends that tick and later ones.
3. A goes on and sends: `sent_ticks` compares the lease's token and the tick in the step that queues. Both
   differ from A's. Nothing is queued, and A requests the lease as at its start.
4. B is killed, and A takes the lease anew: it reads which tick was the last, and goes on from there.

When the broker is lost, no beat is sure to hold the lease, nothing can be queued, and each beat requests it
again after a pause that doubles up to BACKOFF_MAX_S. The grid goes on meanwhile; see `policies` for what
becomes of the ticks that went by.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Protocol

from celery_impl.sidekiq.beat.lease import LeaseState

#: Longest time between two requests of a beat that does not hold the lease, in seconds.
RETRY_S: Final = 1.0
#: Renewals are `ttl_s` / PARTS apart.
PARTS: Final = 3
#: Seconds of the first and of the longest pause after the broker was lost.
BACKOFF_S: Final = 0.25
BACKOFF_MAX_S: Final = 4.0


class Lease(Protocol):
    """Something that one holder has at a time."""

    ttl_s: float

    def hold(self) -> LeaseState:
        """Become the holder, or stay it; raise the broker's errors."""


class LeaseClient:
    """See the module. `observe` is called with each state and the monotonic time of its request."""

    def __init__(
        self,
        lease: Lease,
        *,
        observe: Callable[[LeaseState, float], object] = lambda _state, _sent: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lease = lease
        self._observe = observe
        self._monotonic = monotonic
        self._request_at = -float("inf")
        self.is_holder = False

    def turn(self) -> bool:
        """Request or renew the lease if it is time; return whether this beat holds it now and did not before.

        The caller then reads its whole state again. Raise the broker's errors.
        """
        sent = self._monotonic()
        if sent < self._request_at:
            return False
        found = self._lease.hold()
        self._observe(found, sent)
        self.is_holder = found.state != "other"
        pause = found.left_s / PARTS if self.is_holder else min(found.left_s, RETRY_S)
        self._request_at = sent + pause
        return found.state == "taken"

    def lost(self) -> None:
        """Note that another beat holds the lease, or that the broker is away: request it at the next turn."""
        self.is_holder = False
        self._request_at = -float("inf")

    def wait_s(self) -> float:
        """Return the seconds until the next request."""
        return max(0.0, self._request_at - self._monotonic())


class Backoff:
    """The pauses after the broker was lost: BACKOFF_S, doubled each time, BACKOFF_MAX_S at most."""

    def __init__(self) -> None:
        self._next = BACKOFF_S

    def pause_s(self) -> float:
        """Return the next pause."""
        pause, self._next = self._next, min(self._next * 2, BACKOFF_MAX_S)
        return pause

    def over(self) -> None:
        """The broker answered."""
        self._next = BACKOFF_S
