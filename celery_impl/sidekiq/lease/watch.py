"""Who of the holders is dead: who gives no sign for the length of its lease, in the eyes of who looks.

Nobody's wall clock counts, for any may step: neither the broker's nor the workers'. A sign is a number that
another one follows; that it changed is all that matters, and when, by the monotonic clock of this process. A
process that was out of touch for a while (a silent broker, a job that held the interpreter) begins anew, and
gives each holder a whole lease to show itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Final

from celery_impl.sidekiq.lease.lease_store import lease_s_of

#: Longest time between two looks, as a part of the lease, after which the look before still counts.
SILENCE: Final = 0.5


class Watch:
    """What one process has seen of the holders; `lease_s` is its own lease's length. Pure."""

    def __init__(self, lease_s: float) -> None:
        self._lease_s = lease_s
        #: The last sign of each holder, and since when it is the last.
        self._seen: dict[str, tuple[float, float]] = {}
        self._looked = -inf

    def dead(self, signs: Mapping[str, float], *, asked: float, answered: float) -> dict[str, float]:
        """Return those of the holders that are dead, with their last signs.

        `signs` are the broker's answer to a look; `asked` and `answered` say when it was asked and when it
        had answered, in seconds of the monotonic clock.
        """
        if answered - self._looked > self._lease_s * SILENCE:
            self._seen.clear()
        self._looked = answered
        unseen = (None, answered)
        seen = {holder: self._seen.get(holder, unseen) for holder in signs}
        self._seen = {
            holder: (sign, seen[holder][1] if seen[holder][0] == sign else answered)
            for holder, sign in signs.items()
        }
        return {
            holder: sign
            for holder, (sign, since) in self._seen.items()
            if asked - since >= lease_s_of(holder, default_s=self._lease_s)
        }
