"""PostgresLease: an advisory lock, for replicas that share a PostgreSQL (13 or later).

The lock belongs to a session. The server frees it as soon as the session's connection is
closed, which the kernel of a killed holder does at once; where the holder's machine or network
is gone, the server gives the connection up `ttl_s` and KEEPALIVE_PROBES seconds after it last heard of
it, and by then the holder has stopped. A pooler that hands statements of one client to several
sessions (PgBouncer's transaction mode) breaks that: connect to the server itself.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

from inprocess.supervision.leases.lease import TTL_S, check_ttl

#: Probes, one a second, that the server sends a silent holder before it ends its session.
KEEPALIVE_PROBES: Final = 3

_PATIENCE: Final = (
    "SELECT set_config('tcp_keepalives_idle', %s, false),"
    " set_config('tcp_keepalives_interval', '1', false), set_config('tcp_keepalives_count', %s, false)"
)
_ACQUIRE: Final = "SELECT pg_try_advisory_lock(%s::bigint)"
_TOKEN: Final = "SELECT pg_current_xact_id()::text"  # noqa: S105 - a fencing token is no secret
_HELD: Final = (
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1"
    " AND pid = pg_backend_pid() AND (classid::bigint << 32 | objid::bigint) = %s::bigint"
)

#: Opens a connection of the app's own kind: a psycopg `AsyncConnection`, or what has its methods
#: `execute`, `set_autocommit` and `close`.
Connect = Callable[[], Awaitable[Any]]


class PostgresLease:
    """A lease by `pg_try_advisory_lock`; as `lease.Lease`. Keeps one connection open, candidates do too.

    The token is a transaction's number. Names are hashed to 64 bits, as advisory locks have them.
    """

    def __init__(self, connect: Connect, name: str, *, ttl_s: float = TTL_S) -> None:
        self._connect = connect
        self._name = name
        self.ttl_s = check_ttl(ttl_s)
        self._key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
        self._connection: Any = None

    @property
    def name(self) -> str:
        """The name."""
        return self._name

    async def acquire(self) -> int | None:
        """See `Lease.acquire`."""
        try:
            if self._connection is None:
                await self._open()
            if not await self._value(_ACQUIRE, self._key):
                return None
            return int(await self._value(_TOKEN))
        except BaseException:
            await self.release()
            raise

    async def renew(self) -> bool:
        """See `Lease.renew`: the lease is lost if this session does not hold the lock."""
        return self._connection is not None and await self._value(_HELD, self._key) == 1

    async def release(self) -> None:
        """See `Lease.release`: closes the session, which frees the lock."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):  # of a connection that is broken anyway
                await connection.close()

    async def _open(self) -> None:
        self._connection = connection = await self._connect()
        await connection.set_autocommit(True)  # an open transaction would hold up the server's clean-up
        await self._value(_PATIENCE, str(math.ceil(self.ttl_s)), str(KEEPALIVE_PROBES))

    async def _value(self, query: str, *parameters: object) -> Any:
        cursor = await self._connection.execute(query, parameters)
        row = await cursor.fetchone()
        return row[0]
