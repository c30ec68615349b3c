"""RedisLease: who of several beats sends, as a hash in the broker: the holder's token and when its turn ends.

The token is the beat's own: host, process id and a random part. The lease passes on only when its time is
over or its holder gives it up, both in a script that runs alone. A holder whose time is over keeps the lease
until another takes it: until then all that it sends is sent once, and `sent_ticks` compares the token in the
step that sends.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import redis

from celery_impl.sidekiq.redis.server_clock import CLOCK_S, time_argument

#: Seconds that a lease is good for after its last renewal: how long a killed beat is waited for.
LEASE_S: Final = 5.0
#: The key: a hash of `holder`, `until` and `since` (seconds since 1970 by the broker's clock).
LEASE: Final = "sidekiq:beat:lease"

#: In Lua: `text(number)` writes a time in seconds so that reading it gives it back.
TEXT: Final = """
local function text(number) return string.format('%.6f', number) end
"""

_HOLD: Final = """
local now, holder = clock(), redis.call('HGET', KEYS[1], 'holder')
local left = tonumber(redis.call('HGET', KEYS[1], 'until') or 0) - now
if holder and holder ~= ARGV[2] and left > 0 then
    return {'other', text(left), text(now)}
end
redis.call('HSET', KEYS[1], 'holder', ARGV[2], 'until', text(now + ARGV[3]))
if holder == ARGV[2] then return {'kept', ARGV[3], text(now)} end
redis.call('HSET', KEYS[1], 'since', text(now))
return {'taken', ARGV[3], text(now)}
"""

_RELEASE: Final = """
if redis.call('HGET', KEYS[1], 'holder') == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class LeaseState(NamedTuple):
    """Who holds the lease after a request for it, for how long, and the broker's time.

    `state` is "taken" (this beat holds it, and did not before), "kept" (it held it already) or "other"
    (another beat holds it). `left_s` is the seconds until the lease ends; `now` is in seconds since 1970.
    """

    state: str
    left_s: float
    now: float


class RedisLease:
    """The lease of the beats of one broker, for one beat. `client` is the caller's own and is not closed.

    `prefix` is what all keys begin with. `now` in place of the broker's clock is for tests.
    """

    def __init__(
        self,
        client: redis.Redis,
        *,
        prefix: str = "",
        ttl_s: float = LEASE_S,
        now: Callable[[], float] | None = None,
    ) -> None:
        self.ttl_s = check_ttl(ttl_s)
        self.key = prefix + LEASE
        self.token = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex}"
        self._now = now
        self._hold = client.register_script(CLOCK_S + TEXT + _HOLD)
        self._release = client.register_script(_RELEASE)

    def hold(self) -> LeaseState:
        """Become the holder, or stay it; raise redis-py's errors."""
        args: list[Any] = [time_argument(self._now and self._now()), self.token, self.ttl_s]
        answer: Any = self._hold(keys=[self.key], args=args)
        state, left, at = answer
        return LeaseState(state.decode(), float(left), float(at))

    def release(self) -> None:
        """Give the lease up; do nothing where another holds it. Raise redis-py's errors."""
        self._release(keys=[self.key], args=[self.token])


def check_ttl(ttl_s: float) -> float:
    """Return the time to live as given; raise ValueError where it is too short to be renewed in."""
    if not ttl_s >= 1:
        raise ValueError(
            f"sidekiq_beat_lease_s is {ttl_s}: expected 1 s or more: a third of it is left for each renewal"
        )
    return ttl_s
