"""Limits shared by all workers, so that an outside service is not hammered; as Sidekiq Enterprise's limiters.

    crm = Limiter.window(app, "crm", "10/s")

    @app.task(sidekiq_limits=[crm])
    def tell_crm(contact): ...            # the whole job counts

    with crm.within_limit(): ...          # or a part of it, or a web request's

| kind         | what it allows                                                                          |
|--------------|-----------------------------------------------------------------------------------------|
| `window`     | n in any period of that length, wherever it begins                                        |
| `bucket`     | n in each second, minute … of the server's clock; 2 n at a boundary, but little memory    |
| `concurrent` | n at a time; one that dies holds its place for `hold_s`, one that takes longer loses it   |

Each decision is one Lua script on the server's clock, so the clocks of the workers do not matter.

**Over the limit** a job is put off through the schedule set: no attempt is burned, no worker waits, and the
queue goes on. It waits until a place may be free, and for a random time on top that doubles each time, so
that a long queue spreads itself out over the time that it needs. After `PUT_OFF_LIMIT` times, as in Sidekiq,
OverLimitError is an error like any other: the job is retried by the schedule, and at last is dead.
**Fairness**: there is none to rely on. The first to ask when a place is free gets it; a job that was put off
waits longer than one that comes just then. Give what must not wait a limiter of its own.

**When the broker is away** the answer is no: redis-py's error is raised, and a job is given back. A use is
counted when it begins and stays counted whatever happens; where a job has several limits, those before the
one that is exceeded have counted it too. `testing` and eager mode know no limits.
"""

from __future__ import annotations

import logging
import random
import re
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from celery import Celery

from celery_impl.sidekiq.limits import client
from celery_impl.sidekiq.memory.store import memory_store
from celery_impl.sidekiq.redis.server_clock import CLOCK_MS, time_argument

#: What the keys begin with.
LIMIT: Final = "sidekiq:limit:"
#: Seconds after which a place of a `concurrent` limiter is free though nobody gave it back.
HOLD_S: Final = 30.0
#: Shortest such time: the scripts count in ms.
SHORTEST_HOLD_S: Final = 0.001
#: How often a job is put off until that counts as an error.
PUT_OFF_LIMIT: Final = 20
#: Longest random wait of a job that is put off, in seconds.
LONGEST_SPREAD_S: Final = 300.0
#: Seconds until a job that found all places of a `concurrent` limiter taken asks again, at first.
ASK_AGAIN_S: Final = 1.0
#: The message's header that counts how often its job was put off.
PUT_OFF_HEADER: Final = "sidekiq_put_off"

UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}

logger = logging.getLogger(__name__)

_READ: Final = """
local now, count, span = clock(), tonumber(ARGV[2]), tonumber(ARGV[3])
"""

# What was let in at t counts until t + span.
_WINDOW: Final = """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - span)
local used = redis.call('ZCARD', KEYS[1])
if used < count then
    redis.call('ZADD', KEYS[1], now, ARGV[4])
    redis.call('PEXPIRE', KEYS[1], span)
    return 0
end
return redis.call('ZRANGE', KEYS[1], used - count, used - count, 'WITHSCORES')[2] + span - now
"""

_BUCKET: Final = """
local bucket = string.format('%d', math.floor(now / span))
if redis.call('HGET', KEYS[1], 'bucket') ~= bucket then
    redis.call('HSET', KEYS[1], 'bucket', bucket, 'used', 0)
end
if redis.call('HINCRBY', KEYS[1], 'used', 1) <= count then
    redis.call('PEXPIRE', KEYS[1], span)
    return 0
end
redis.call('HINCRBY', KEYS[1], 'used', -1)
return (bucket + 1) * span - now
"""

_CONCURRENT: Final = """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) < count then
    redis.call('ZADD', KEYS[1], now + span, ARGV[4])
    redis.call('PEXPIRE', KEYS[1], span)
    return 0
end
return redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2] - now
"""

_SCRIPTS: Final = {"window": _WINDOW, "bucket": _BUCKET, "concurrent": _CONCURRENT}


class OverLimitError(RuntimeError):
    """There is no room now; `free_in_s` is when there may be, `spread_s` the scale of the limit's time."""

    def __init__(self, limiter: str, free_in_s: float, spread_s: float) -> None:
        super().__init__(limiter, free_in_s, spread_s)
        self.limiter = limiter
        self.free_in_s = free_in_s
        self.spread_s = spread_s

    def __str__(self) -> str:
        """Which limit, and when there may be room."""
        return f"over the limit {self.limiter!r}: there may be room in {self.free_in_s:.2f} s"


class LimitOptionError(ValueError):
    """A limit cannot be used; the text says what is expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limiter:
    """One limit, made by `window`, `bucket` or `concurrent`; it belongs to its name, not to this object.

    Each use counts by the count and period of the object that asks. Threads may share one.
    """

    app: Celery = field(repr=False)
    name: str
    kind: Literal["window", "bucket", "concurrent"]
    count: int
    span_ms: int

    @classmethod
    def window(cls, app: Celery, name: str, rate: str) -> Limiter:
        """At most n in any period: "10/s", "600/m", "5/10s"; units s, m, h, d. Raise LimitOptionError."""
        count, span_ms = _parsed(name, rate)
        return cls(app=app, name=name, kind="window", count=count, span_ms=span_ms)

    @classmethod
    def bucket(cls, app: Celery, name: str, rate: str) -> Limiter:
        """At most n in each period of the server's clock; as `window`."""
        count, span_ms = _parsed(name, rate)
        return cls(app=app, name=name, kind="bucket", count=count, span_ms=span_ms)

    @classmethod
    def concurrent(cls, app: Celery, name: str, count: int, *, hold_s: float = HOLD_S) -> Limiter:
        """At most `count` at a time, each for at most `hold_s` seconds. Raise LimitOptionError."""
        if type(count) is not int or count < 1:
            raise LimitOptionError(f"limit {name!r} is {count!r}: expected a whole number from 1")
        if not SHORTEST_HOLD_S <= hold_s < float("inf"):
            raise LimitOptionError(f"hold_s of limit {name!r} is {hold_s!r}: expected seconds from 0.001")
        return cls(app=app, name=name, kind="concurrent", count=count, span_ms=round(hold_s * 1000))

    @contextmanager
    def within_limit(
        self, *, wait_s: float = 0.0, sleep: Callable[[float], object] = time.sleep
    ) -> Iterator[None]:
        """Run the block within the limit, after waiting for room for up to `wait_s` seconds.

        Raise OverLimitError where there is none, redis-py's errors where the broker does not tell.
        """
        use = uuid.uuid4().hex
        self._enter(use, time.monotonic() + wait_s, sleep)
        try:
            yield
        finally:
            if self.kind == "concurrent" and not self.leave(use):
                logger.warning("limit %r: a use took longer than its %s ms", self.name, self.span_ms)

    def ask(self, use: str, *, now: int | None = None) -> float:
        """Begin the use with this id: 0.0 where there is room, else seconds until there may be.

        `now`, in ms, is for tests; otherwise the server's clock counts.
        """
        kept = memory_store(self.app)
        if kept is not None:
            return kept.limits.ask(self.kind, self.name, self.count, self.span_ms, use, now=now) / 1000
        script = client.client(self.app).register_script(CLOCK_MS + _READ + _SCRIPTS[self.kind])
        args: list[Any] = [time_argument(now), self.count, self.span_ms, use]
        answer: Any = script(keys=[self._key], args=args)
        return int(answer) / 1000

    def leave(self, use: str) -> bool:
        """End a use of a `concurrent` limiter; return whether it still had its place."""
        kept = memory_store(self.app)
        if kept is not None:
            return kept.limits.leave(self.kind, self.name, use)
        answer: Any = client.client(self.app).zrem(self._key, use)
        return bool(answer)

    def _enter(self, use: str, until: float, sleep: Callable[[float], object]) -> None:
        while free_in_s := self.ask(use):
            left = until - time.monotonic()
            if left <= 0:
                raise OverLimitError(self.name, free_in_s, self._spread_s)
            sleep(min(free_in_s, left, ASK_AGAIN_S))

    @property
    def _spread_s(self) -> float:
        span_s: float = self.span_ms / 1000
        return ASK_AGAIN_S if self.kind == "concurrent" else span_s

    @property
    def _key(self) -> str:
        return f"{client.prefix(self.app)}{LIMIT}{self.kind}:{self.name}"


@contextmanager
def within_all(limits: Sequence[Limiter]) -> Iterator[None]:
    """Run the block within all limits, asked in their order."""
    with ExitStack() as stack:
        for limit in limits:
            stack.enter_context(limit.within_limit())
        yield


def put_off_s(over: OverLimitError, before: int, *, draw: Callable[[], float] = random.random) -> float:
    """Return the seconds that a job waits after `before` earlier put-offs; `draw` returns 0 to 1."""
    asks_in = min(over.free_in_s, over.spread_s)
    spread_s: float = min(over.spread_s * 2**before, LONGEST_SPREAD_S)
    return asks_in + spread_s * draw()


def _parsed(name: str, rate: str) -> tuple[int, int]:
    found = re.fullmatch(r"([1-9][0-9]*)/([0-9]*)([smhd])", rate) if type(rate) is str else None
    span_s = int(found[2] or 1) * UNITS_S[found[3]] if found else 0
    if found is None or span_s == 0:
        raise LimitOptionError(
            f"limit {name!r} is {rate!r}: expected a number, a slash and a period, such as '10/s' or '5/10m'"
        )
    return int(found[1]), span_s * 1000
