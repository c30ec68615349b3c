"""Sidekiq's sorted sets in Redis: schedule and retry, scored by when a job is due, and dead.

What their entries look like is in `entries`; those of `dead` are scored by the time of their burial.
All times are seconds since the epoch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final, TypeVar

import redis

from celery_impl.sidekiq.jobs.entry_format import MARK, DeadJob, UnreadableError, queue_name, split
from celery_impl.sidekiq.redis.queue_signal import SIGNAL
from celery_impl.sidekiq.redis.server_clock import CLOCK_S, time_argument

SCHEDULE: Final = "sidekiq:schedule"
RETRY: Final = "sidekiq:retry"
DEAD: Final = "sidekiq:dead"
DEATHS: Final = "sidekiq:deaths:"

#: Jobs that the dead set keeps; the oldest go first.
DEAD_LIMIT: Final = 10_000
#: Seconds for which the dead set keeps a job: 180 days.
DEAD_AGE_S: Final = 180 * 24 * 3600
#: Seconds for which a process death is remembered against its job: 72 hours, as in Sidekiq.
DEATHS_AGE_S: Final = 72 * 3600
#: Entries that one call of the script moves: it blocks the server meanwhile.
BATCH: Final = 100
#: Different entries of which a process complains in its log.
COMPLAINTS: Final = 100

# Two workers cannot both move an entry: a script runs alone. An entry that is corrupt, of a newer version, or
# for a queue whose key is something else, stays for a person to find, and the next call looks behind it.
# LLEN first: a script that fails half-way keeps what it has done.
_PROMOTE: Final = """
local moved, kept, now = 0, {}, clock()
for _, entry in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', ARGV[6], ARGV[2])) do
    local from = #ARGV[5] + 1
    local cut = string.sub(entry, 1, #ARGV[5]) == ARGV[5] and string.find(entry, '\\n', from, true)
    local queue = cut and ARGV[3] .. string.sub(entry, from, cut - 1)
    if cut and type(redis.pcall('LLEN', queue)) == 'number' then
        redis.call('ZREM', KEYS[1], entry)
        redis.call('LPUSH', queue, string.sub(entry, cut + 1))
        if ARGV[4] == '1' then signal(queue) end
        moved = moved + 1
    else
        kept[#kept + 1] = entry
    end
end
return {moved, #kept, kept[1] or ''}
"""

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Sets:
    """The sets of one broker; `prefix` is what all its keys begin with (kombu's global_keyprefix).

    `signals`: whether what becomes due sets its queue's signal, for idle workers of the lease transport.
    """

    def __init__(self, client: redis.Redis, *, prefix: str = "", signals: bool = False) -> None:
        self.client = client
        self.prefix = prefix
        self.signals = signals
        self._promote = client.register_script(CLOCK_S + SIGNAL + _PROMOTE)
        self._complained: set[bytes] = set()

    def promote(self, now: float | None = None) -> int:
        """Queue every entry that is due, by the server's clock or at `now`; return how many were moved."""
        return sum(self._promote_all(name, now) for name in (SCHEDULE, RETRY))

    def bury(self, dead_job: DeadJob) -> None:
        """Put a job into the dead set and drop what is too old or too many there."""
        key = self.prefix + DEAD
        with self.client.pipeline(transaction=True) as pipe:
            pipe.zadd(key, {dead_job.dumps(): dead_job.buried_at})
            pipe.zremrangebyscore(key, "-inf", dead_job.buried_at - DEAD_AGE_S)
            pipe.zremrangebyrank(key, 0, -DEAD_LIMIT - 1)
            pipe.execute()

    def dead_jobs(self) -> list[DeadJob]:
        """Return every job in the dead set, newest first, without entries that cannot be read."""
        members: Any = self.client.zrange(self.prefix + DEAD, 0, -1, desc=True)
        return list(_readable(members, DeadJob.loads))

    def waiting(self, name: str) -> list[str]:
        """Return the messages in `schedule` or `retry`, next due first, without unreadable entries."""
        members: Any = self.client.zrange(self.prefix + name, 0, -1)
        return [message for _, message in _readable(members, split)]

    def waiting_for(self, queue: str, name: str) -> list[bytes]:
        """Return the entries of `schedule` or `retry` that wait for this queue."""
        members: Any = self.client.zscan_iter(self.prefix + name, count=1000)
        keys = ((member, key) for member, _ in members for key, _ in _readable([member], split))
        return [member for member, key in keys if queue_name(key) == queue]

    def count_death(self, job_id: str) -> int:
        """Remember that a process died of this job and return how many did in the last 72 hours."""
        key = f"{self.prefix}{DEATHS}{job_id}"
        with self.client.pipeline(transaction=True) as pipe:
            pipe.incr(key)
            pipe.expire(key, DEATHS_AGE_S)
            return int(pipe.execute()[0])

    def renew(self, index: str, tags: list[str], now: float) -> None:
        """Score the messages that are still in kombu's index of unacknowledged ones as fetched now."""
        self.client.zadd(self.prefix + index, dict.fromkeys(tags, now), xx=True)

    def _promote_all(self, name: str, now: float | None) -> int:
        total = skipped = 0
        while True:
            args: list[str | float] = [
                time_argument(now),
                BATCH,
                self.prefix,
                int(self.signals),
                MARK,
                skipped,
            ]
            answer: Any = self._promote(keys=[self.prefix + name], args=args)
            moved, kept = map(int, answer[:2])
            total, skipped = total + moved, skipped + kept
            if kept:
                self._complain(name, answer[2])
            if moved + kept < BATCH:
                return total

    def _complain(self, name: str, member: bytes) -> None:
        """Log why an entry that is due is not queued, once for each as long as this object lives."""
        if member in self._complained or len(self._complained) >= COMPLAINTS:
            return
        self._complained.add(member)
        logger.error("an entry of %s is due and cannot be queued: %s", name, _problem(member))


def _problem(member: bytes) -> str:
    try:
        queue_key, _ = split(member.decode())
    except ValueError as error:
        return str(error)
    return f"the key of its queue, {queue_key!r}, is no list; it stays here until that key is free"


def _readable(members: list[bytes], read: Callable[[str], T]) -> Iterator[T]:
    for member in members:
        with suppress(UnreadableError, UnicodeDecodeError):
            yield read(member.decode())
