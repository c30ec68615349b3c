"""Moves jobs of a set or a queue for a person: each job in one step, so that none is lost or doubled.

Two people, or a person and a worker, may act on one job at once: the script that still finds it moves it, the
other one moves nothing. A job is found by its entry, byte for byte, so it is never mistaken for another. A
call moves up to `BATCH` jobs and blocks the server for as long; the calls of a longer list follow each other,
and one that fails leaves the rest where they were.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

from celery_impl.sidekiq.redis.queue_signal import SIGNAL
from celery_impl.sidekiq.redis.sets import BATCH, DEAD, DEAD_AGE_S, DEAD_LIMIT, Sets
from celery_impl.sidekiq.redis.unique_lua import RELEASE

# What is written to is looked at first (LLEN, ZCARD): where its key is of another type that raises before
# anything is taken, and a script that fails half-way keeps what it has done.
#: What the keys begin with of what is being cleared, and the seconds after which it ends by itself.
CLEARED: Final = "sidekiq:cleared:"
CLEARED_AGE_S: Final = 3600

# A source is a sorted set or, where it is a queue, a list.
_TAKE: Final = """
local function take(member)
    if ARGV[1] == 'list' then return redis.call('LREM', KEYS[1], 1, member) end
    return redis.call('ZREM', KEYS[1], member)
end
"""

_DELETE: Final = """
local taken = 0
for i = 3, #ARGV do
    if take(ARGV[i]) == 1 then
        release(ARGV[2], ARGV[i])
        taken = taken + 1
    end
end
return taken
"""

_QUEUE: Final = """
local taken = 0
for i = 4, #ARGV, 3 do
    local queue = ARGV[2] .. ARGV[i + 1]
    redis.call('LLEN', queue)
    if take(ARGV[i]) == 1 then
        redis.call('LPUSH', queue, ARGV[i + 2])
        if ARGV[3] == '1' then signal(queue) end
        taken = taken + 1
    end
end
return taken
"""

_BURY: Final = """
redis.call('ZCARD', KEYS[2])
local taken = 0
for i = 6, #ARGV, 2 do
    if take(ARGV[i]) == 1 then
        redis.call('ZADD', KEYS[2], ARGV[2], ARGV[i + 1])
        release(ARGV[5], ARGV[i])
        taken = taken + 1
    end
end
if taken > 0 then
    redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[3])
    redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -ARGV[4] - 1)
end
return taken
"""

# What is cleared is put aside in one step. Were its locks freed where it stands, who sends the same job
# meanwhile would find it deleted with the rest.
_ASIDE: Final = """
local size = 0
for i, key in ipairs(KEYS) do
    if redis.call('EXISTS', key) == 1 then
        size = size + redis.call(ARGV[1] == 'list' and 'LLEN' or 'ZCARD', key)
        redis.call('RENAME', key, ARGV[i + 2])
        redis.call('EXPIRE', ARGV[i + 2], ARGV[2])
    end
end
return size
"""

_DROP: Final = """
local entries, step = {}, 1
if ARGV[1] == 'list' then
    entries = redis.call('LPOP', KEYS[1], ARGV[3]) or {}
else
    entries, step = redis.call('ZPOPMIN', KEYS[1], ARGV[3]), 2
end
for i = 1, #entries, step do release(ARGV[2], entries[i]) end
return redis.call('EXISTS', KEYS[1])
"""


class Source(NamedTuple):
    """Where jobs are taken from: a key without prefix, and whether it is a queue's list."""

    key: str
    is_list: bool = False


class Moves:
    """The moves of one broker."""

    def __init__(self, sets: Sets) -> None:
        self._sets = sets
        self._delete = sets.client.register_script(RELEASE + _TAKE + _DELETE)
        self._queue = sets.client.register_script(SIGNAL + _TAKE + _QUEUE)
        self._bury = sets.client.register_script(RELEASE + _TAKE + _BURY)
        self._aside = sets.client.register_script(_ASIDE)
        self._drop = sets.client.register_script(RELEASE + _DROP)

    def delete(self, source: Source, members: Iterable[bytes]) -> int:
        """Delete these entries; return how many were still there."""
        return sum(
            int(self._delete(keys=[self._key(source)], args=[_kind(source), self._sets.prefix, *batch]))
            for batch in _batches(members)
        )

    def clear(self, *sources: Source) -> int:
        """Delete all that is in these, which are of one kind, in one step; return how much that was.

        The places of unique jobs are freed afterwards, as many at a time as one call moves.
        """
        kind, aside = _kind(sources[0]), [f"{self._sets.prefix}{CLEARED}{uuid.uuid4().hex}" for _ in sources]
        size = int(self._aside(keys=[*map(self._key, sources)], args=[kind, CLEARED_AGE_S, *aside]))
        for key in aside:
            while int(self._drop(keys=[key], args=[kind, self._sets.prefix, BATCH])):
                pass
        return size

    def queue(self, source: Source, jobs: Iterable[tuple[bytes, str, str]]) -> int:
        """Queue each (entry, key of its queue, message) that is still there; return how many were."""
        head: list[Any] = [_kind(source), self._sets.prefix, int(self._sets.signals)]
        return sum(
            int(self._queue(keys=[self._key(source)], args=[*head, *_flat(batch)]))
            for batch in _batches(jobs)
        )

    def bury(self, source: Source, dead_jobs: Iterable[tuple[bytes, str]], *, now: float) -> int:
        """Bury each (entry, member of the dead set) that is still there; return how many were.

        As in Sidekiq, the dead set drops what is too old or too many when a job comes to it, and only then.
        """
        keys = [self._key(source), self._sets.prefix + DEAD]
        head: list[Any] = [_kind(source), now, now - DEAD_AGE_S, DEAD_LIMIT, self._sets.prefix]
        return sum(int(self._bury(keys=keys, args=[*head, *_flat(batch)])) for batch in _batches(dead_jobs))

    def _key(self, source: Source) -> str:
        return self._sets.prefix + source.key


def _kind(source: Source) -> str:
    return "list" if source.is_list else "zset"


def _batches(items: Iterable[Any]) -> Iterator[Sequence[Any]]:
    left = iter(items)
    while batch := list(islice(left, BATCH)):
        yield batch


def _flat(batch: Sequence[tuple[Any, ...]]) -> list[Any]:
    return [part for item in batch for part in item]
