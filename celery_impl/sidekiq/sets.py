"""Sidekiq's sorted sets in Redis: schedule and retry, scored by when a job is due, and dead.

An entry of `schedule` and `retry` is the key of its queue, a line feed, and the message exactly as
it will be queued. An entry of `dead` is a JSON object (`Grave`), scored by the time of its burial.
All times are seconds since the epoch.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Final

import redis

SCHEDULE: Final = "sidekiq:schedule"
RETRY: Final = "sidekiq:retry"
DEAD: Final = "sidekiq:dead"
DEATHS: Final = "sidekiq:deaths:"

#: Jobs that the dead set keeps; the oldest go first.
DEAD_LIMIT: Final = 10_000
#: Seconds for which the dead set keeps a job: 180 days.
DEAD_AGE_S: Final = 180 * 24 * 3600
#: Characters of an error's message that are kept.
MESSAGE_LIMIT: Final = 10_000
#: Seconds for which a process death is remembered against its job: 72 hours, as in Sidekiq.
DEATHS_AGE_S: Final = 72 * 3600
#: Entries that one call of the script moves: it blocks the server meanwhile.
BATCH: Final = 100

# Two workers cannot both move an entry: a script runs alone. An entry without a line feed is none
# of ours and stays where a person can find it.
_PROMOTE: Final = """
local moved = 0
for _, entry in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])) do
    local cut = string.find(entry, '\\n', 1, true)
    if cut then
        redis.call('ZREM', KEYS[1], entry)
        redis.call('LPUSH', ARGV[3] .. string.sub(entry, 1, cut - 1), string.sub(entry, cut + 1))
        moved = moved + 1
    end
end
return moved
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grave:
    """A job in the dead set: enough to run it again, and why it is there."""

    id: str
    task: str
    args: list[Any]
    kwargs: dict[str, Any]
    queue: str
    retries: int
    error_class: str
    error_message: str
    failed_at: float


def entry(queue_key: str, message: str) -> str:
    """What stands in `schedule` or `retry` for a message that is to be queued at `queue_key`."""
    return f"{queue_key}\n{message}"


class Sets:
    """The sets of one broker; `prefix` is what all its keys begin with (kombu's global_keyprefix)."""

    def __init__(self, client: redis.Redis, *, prefix: str = "") -> None:
        self._client = client
        self._prefix = prefix
        self._promote = client.register_script(_PROMOTE)

    def promote(self, now: float) -> int:
        """Queue every entry that is due; return how many this call moved."""
        return sum(self._promote_all(name, now) for name in (SCHEDULE, RETRY))

    def bury(self, grave: Grave) -> None:
        """Put a job into the dead set and drop what is too old or too many there."""
        key = self._prefix + DEAD
        member = json.dumps(asdict(grave))
        with self._client.pipeline(transaction=True) as pipe:
            pipe.zadd(key, {member: grave.failed_at})
            pipe.zremrangebyscore(key, "-inf", grave.failed_at - DEAD_AGE_S)
            pipe.zremrangebyrank(key, 0, -DEAD_LIMIT - 1)
            pipe.execute()

    def graves(self) -> list[Grave]:
        """Every job in the dead set, newest first."""
        members: Any = self._client.zrange(self._prefix + DEAD, 0, -1, desc=True)
        return [Grave(**json.loads(member)) for member in members]

    def waiting(self, name: str) -> list[str]:
        """The messages in `schedule` or `retry`, next due first, without entries that are none of ours."""
        members: Any = self._client.zrange(self._prefix + name, 0, -1)
        return list(filter(None, (member.decode().partition("\n")[2] for member in members)))

    def count_death(self, job_id: str) -> int:
        """Remember that a process died of this job and return how many did in the last 72 hours."""
        key = f"{self._prefix}{DEATHS}{job_id}"
        with self._client.pipeline(transaction=True) as pipe:
            pipe.incr(key)
            pipe.expire(key, DEATHS_AGE_S)
            return int(pipe.execute()[0])

    def renew(self, index: str, tags: list[str], now: float) -> None:
        """Score the messages that are still in kombu's index of unacknowledged ones as fetched now."""
        self._client.zadd(self._prefix + index, dict.fromkeys(tags, now), xx=True)

    def _promote_all(self, name: str, now: float) -> int:
        total = 0
        while moved := int(self._promote(keys=[self._prefix + name], args=[now, BATCH, self._prefix])):
            total += moved
        return total
