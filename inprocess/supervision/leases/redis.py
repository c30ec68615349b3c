"""RedisLease: a key with a time to live, for replicas that share a Redis or Valkey.

The key's value is a random string of this replica. It is set only if there is none; scripts renew and
delete it only if the value is this replica's, so that no replica renews or deletes another's lease. A
dead holder's key expires after `ttl_s`.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable
from typing import Any, Final, Protocol

from inprocess.supervision.leases.lease import TTL_S, check_ttl

#: Both keys carry the name in braces, so that a cluster keeps them on one node.
_ACQUIRE: Final = """
if redis.call('get', KEYS[1]) == ARGV[1] or redis.call('set', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
  redis.call('pexpire', KEYS[1], ARGV[2])
  return redis.call('incr', KEYS[2])
end
return nil
"""
_RENEW: Final = """
if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) end
return 0
"""
_RELEASE: Final = """
if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end
return 0
"""


class Client(Protocol):
    """The part of a `redis.asyncio.Redis` that is used."""

    def eval(self, script: str, numkeys: int, *keys_and_args: Any) -> Awaitable[Any]:
        """Run a script."""


class RedisLease:
    """A lease by `SET NX PX`; as `lease.Lease`. The client is the app's own and is not closed.

    `key_prefix` goes before the keys `{name}:lease` and `{name}:lease:token`; the latter stays.
    """

    def __init__(self, client: Client, name: str, *, ttl_s: float = TTL_S, key_prefix: str = "") -> None:
        self._client = client
        self._name = name
        self.ttl_s = check_ttl(ttl_s)
        self._keys = (f"{key_prefix}{{{name}}}:lease", f"{key_prefix}{{{name}}}:lease:token")
        self._word = uuid.uuid4().hex

    @property
    def name(self) -> str:
        """The name."""
        return self._name

    async def acquire(self) -> int | None:
        """See `Lease.acquire`. The next attempt makes good for an answer that was lost."""
        token = await self._client.eval(_ACQUIRE, 2, *self._keys, self._word, self._ttl_ms)
        return None if token is None else int(token)

    async def renew(self) -> bool:
        """See `Lease.renew`."""
        return bool(await self._client.eval(_RENEW, 1, self._keys[0], self._word, self._ttl_ms))

    async def release(self) -> None:
        """See `Lease.release`."""
        await self._client.eval(_RELEASE, 1, self._keys[0], self._word)

    @property
    def _ttl_ms(self) -> int:
        return int(self.ttl_s * 1000)
