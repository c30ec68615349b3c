"""Lease: which one of several replicas runs a process; `leased.Leased` runs it for the holder.

Three backends, each for what the app has already:

| lease         | freed when the holder dies          | needs                                        |
|---------------|-------------------------------------|----------------------------------------------|
| FileLease     | at once, by the kernel              | replicas on one machine, a local file         |
| PostgresLease | at once; a lost machine after TTL_S | a session of its own, so no statement pooling |
| RedisLease    | after `ttl_s`                       | one Redis server that keeps what it was told  |

What a lease can and cannot promise. The holder counts from the moment *before* it sent the last
renewal that was confirmed, on its monotonic clock; it stops what it runs before `ttl_s` from
then have passed, whether or not the backend can be reached. So two replicas run at once only

1. when the holder stands still (SIGSTOP, a suspended machine, a loop that is held) past its
   deadline: it cannot stop what it does not notice, and stops as soon as it goes on;
2. when the backend forgets the lease: a Redis that restarts without its data or fails over to a
   replica that lags, a PostgreSQL that restarts or fails over, a lock file that is deleted;
3. when what it runs ignores its cancellation, or runs in a thread: that is reported, and the
   lease is not given back, but it does run out.

For work where that matters there is the token, fencing as Kleppmann describes it: a number that
is larger for each later holder. Store it with what the work writes and refuse smaller ones.
"""

from __future__ import annotations

from typing import Final, Protocol

#: Seconds that a lease is good for after its last confirmed renewal.
TTL_S: Final = 15.0


class Lease(Protocol):
    """Something that one holder has at a time. Used by one `Leased` process, on its loop."""

    #: Seconds that the lease is good for, from before `acquire` or `renew` was sent.
    ttl_s: float

    @property
    def name(self) -> str:
        """The name that logs show; the same for every replica."""

    async def acquire(self) -> int | None:
        """Try once to become the holder. Return the token, None if another holds it. Raise backend errors."""

    async def renew(self) -> bool:
        """Stay the holder for another `ttl_s`; return False if the lease is lost. Raise backend errors."""

    async def release(self) -> None:
        """Give the lease up and release its resources. Has no effect for a replica that does not hold it."""


def check_ttl(ttl_s: float) -> float:
    """Return the time to live; raise ValueError if it is too short to be renewed in."""
    if not ttl_s >= 1:
        raise ValueError(
            f"ttl_s is {ttl_s}: expected 1 s or more, since a third of it is left for each renewal"
        )
    return ttl_s
