"""Who of the holders is dead, from what the server says of their leases and locks. No SQL, no clock of ours.

1. A lock that is free in two looks, FREE_US apart: the process has ended, or its connection was cut and it
   has not made another in that time. This counts where the holder's last connection was to the server as it
   runs now: a restart or a failover frees the locks of all at once.
2. A lease that has run out, though the lock is held or counts for nothing. Whoever looks must have been
   connected for CONNECTED_US: after an outage the others renew theirs in that time.
"""

from __future__ import annotations

from typing import Final, NamedTuple

#: Microseconds between two looks that find a lock free.
FREE_US: Final = 500_000
#: Microseconds of being connected before a lease that has run out means a death.
CONNECTED_US: Final = 4_000_000


class Holder(NamedTuple):
    """A holder as the server has it now. `server`: which one its lock was taken from; None without a lock."""

    n: int
    drained: int
    host: str
    boot: str
    is_expired: bool
    server: str | None
    is_locked: bool
    now: int
    server_now: str

    @property
    def is_free(self) -> bool:
        """Whether its lock, which the server as it runs now has given it, is free."""
        return self.server == self.server_now and not self.is_locked

    def is_to_blame(self, host: str, boot: str) -> bool:
        """Whether its death may be its jobs' doing: not after a drain or a reboot, nor if it may live on."""
        return not self.drained and not self.is_locked and (self.host != host or self.boot == boot)


class Liveness:
    """What one connection has seen of the holders, until it is lost."""

    def __init__(self) -> None:
        self._connected_at: int | None = None
        self._free_since: dict[int, int] = {}

    def note(self, holders: list[Holder]) -> None:
        """Take in a look at all of them."""
        before = self._free_since
        self._free_since = {
            holder.n: before.get(holder.n, holder.now) for holder in holders if holder.is_free
        }
        if self._connected_at is None and holders:
            self._connected_at = holders[0].now

    def is_dead(self, holder: Holder) -> bool:
        """Whether it is dead, after the looks so far and this one."""
        if holder.is_free and holder.now - self._free_since.get(holder.n, holder.now) >= FREE_US:
            return True
        since = holder.now if self._connected_at is None else self._connected_at
        return holder.is_expired and holder.now - since >= CONNECTED_US
