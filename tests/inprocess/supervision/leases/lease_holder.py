"""A replica of its own, for tests that kill it: holds a lease and says so, until it is ended.

python lease_holder.py file|redis|postgres ADDRESS NAME TTL_S
"""

from __future__ import annotations

import asyncio
import sys

from inprocess.supervision.leases.file import FileLease
from inprocess.supervision.leases.lease import Lease
from inprocess.supervision.leases.leased import Leased
from inprocess.supervision.leases.postgres import PostgresLease
from inprocess.supervision.leases.redis import RedisLease
from inprocess.supervision.periodic.periodic import Periodic


def lease_at(backend: str, address: str, name: str, ttl_s: float) -> Lease:
    """The lease of that name in that backend."""
    if backend == "file":
        return FileLease(address, ttl_s=ttl_s)
    if backend == "redis":
        from redis.asyncio import Redis

        return RedisLease(Redis.from_url(address), name, ttl_s=ttl_s)
    from psycopg import AsyncConnection

    return PostgresLease(lambda: AsyncConnection.connect(address), name, ttl_s=ttl_s)


def start(token: int) -> Periodic:
    """Say that this replica is the holder."""
    sys.stdout.write(f"{token}\n")
    sys.stdout.flush()
    return Periodic.start(lambda: None, interval_s=0.05)


async def main() -> None:
    """Be a candidate, then the holder, for ever."""
    backend, address, name, ttl_s = sys.argv[1:]
    await Leased.start(start, lease_at(backend, address, name, float(ttl_s)), retry_s=0.05).wait()


if __name__ == "__main__":
    asyncio.run(main())
