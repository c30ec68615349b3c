"""RedisLease: who of several beats sends, as a hash in the broker: the holder's token and its last renewal.

The token is the beat's own: host, process id and a random part. The lease passes on only when its holder
gives it up, or when another has seen no renewal of it for its length, both in a script that runs alone. That
length is measured by the monotonic clock of the one that watches: no wall clock may step it away or keep
it. A beat that has just started has seen nothing yet; its first request takes a lease that is over by the
broker's clock, so that a beat which is started again does not wait. Should that clock be wrong, the lease
passes on from a living beat once, and no tick is lost or doubled: `sent_ticks` compares the token in the step
that sends. A holder that is late keeps the lease until another takes it.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import redis

from celery_impl.sidekiq.redis.server_clock import CLOCK_S, time_argument

#: Seconds that a lease is good for after its last renewal: how long a killed beat is waited for.
LEASE_S: Final = 5.0
#: The key: a hash of `holder`, `for` (seconds that the lease is good for), `until` and `since` (seconds since
#: 1970 by the broker's clock). `until` changes with each renewal, and so is the sign of life.
LEASE: Final = "sidekiq:beat:lease"

#: In Lua: `text(number)` writes a time in seconds so that reading it gives it back.
TEXT: Final = """
local function text(number) return string.format('%.6f', number) end
"""

_HOLD: Final = """
local now, known = clock(), redis.call('HMGET', KEYS[1], 'holder', 'until', 'for')
local holder, sign = known[1], (known[1] or '') .. ' ' .. (known[2] or '')
local over = ARGV[5] == '1' and tonumber(known[2] or 0) <= now
if holder and holder ~= ARGV[2] and sign ~= ARGV[4] and not over then
    return {'other', known[3] or ARGV[3], text(now), sign}
end
redis.call('HSET', KEYS[1], 'holder', ARGV[2], 'until', text(now + ARGV[3]), 'for', ARGV[3])
if holder == ARGV[2] then return {'kept', ARGV[3], text(now), ''} end
redis.call('HSET', KEYS[1], 'since', text(now))
return {'taken', ARGV[3], text(now), ''}
"""

_RELEASE: Final = """
if redis.call('HGET', KEYS[1], 'holder') == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class LeaseState(NamedTuple):
    """Who holds the lease after a request for it, for how long, and the broker's time.

    `state` is "taken" (this beat holds it, and did not before), "kept" (it held it already) or "other"
    (another beat holds it). `left_s` is the seconds until the lease ends, of another beat unless it renews;
    `now` is in seconds since 1970.
    """

    state: str
    left_s: float
    now: float


class RedisLease:
    """The lease of the beats of one broker, for one beat. `client` is the caller's own and is not closed.

    `prefix` is what all keys begin with. `monotonic` measures for how long a holder has not renewed. `now` in
    place of the broker's clock is for tests.
    """

    def __init__(
        self,
        client: redis.Redis,
        *,
        prefix: str = "",
        ttl_s: float = LEASE_S,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] | None = None,
    ) -> None:
        self.ttl_s = check_ttl(ttl_s)
        self.key = prefix + LEASE
        self.token = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex}"
        self._now = now
        self._monotonic = monotonic
        #: The last renewal of another holder that was seen, since when, and for how long it is good.
        self._seen: tuple[str, float, float] | None = None
        self._is_fresh = True
        self._hold = client.register_script(CLOCK_S + TEXT + _HOLD)
        self._release = client.register_script(_RELEASE)

    def hold(self) -> LeaseState:
        """Become the holder, or stay it; raise redis-py's errors."""
        args: list[Any] = [time_argument(self._now and self._now()), self.token, self.ttl_s]
        args += [self._silent(self._monotonic()), int(self._is_fresh)]
        answer: Any = self._hold(keys=[self.key], args=args)
        state, good_for, at, sign = (part.decode() for part in answer)
        self._is_fresh = False
        if state != "other":
            self._seen = None
            return LeaseState(state, float(good_for), float(at))
        answered = self._monotonic()
        if self._seen is None or self._seen[0] != sign:
            self._seen = sign, answered, max(self.ttl_s, float(good_for))
        _, since, good_for_s = self._seen
        return LeaseState(state, max(0.0, since + good_for_s - answered), float(at))

    def _silent(self, asked: float) -> str:
        """Return the last renewal that was seen where its holder counts as dead since, else ""."""
        if self._seen is None:
            return ""
        sign, since, good_for_s = self._seen
        return sign if asked - since >= good_for_s else ""

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
