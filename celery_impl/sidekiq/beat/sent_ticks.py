"""The records of the entries in the broker, and the one step in which a tick is queued.

| key, after the prefix        | type | meaning                                                           |
|------------------------------|------|-------------------------------------------------------------------|
| `sidekiq:beat:entries`       | set  | names of the entries of the beat that holds the lease              |
| `sidekiq:beat:entry:<name>`  | hash | `v`, what the entry is, `due` (its last tick), `next`,           |
|                              |      | `last_run_at`, `job`, and counts: `runs` and why ticks were dropped|
| `sidekiq:beat:runs:<name>`   | zset | ids of runs that are queued or running, by when that is no longer  |
|                              |      | counted (`runs`); only of entries whose overlap is `skip`          |

A tick is identified by its time. `CLAIM` compares the holder and the last tick, notes the new one and
queues its message in one atomic step. So of each tick

- at most one message is ever queued, by whichever beat, however often and however late it tries;
- exactly one is, unless the broker loses data: a beat that did not get the answer tries again, and gets
  `taken`. A tick that a beat was killed before noting is left to the next beat.

The job is then an ordinary one: delivered at least once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from celery_impl.sidekiq.beat.lease import TEXT
from celery_impl.sidekiq.beat.runs import RUNS
from celery_impl.sidekiq.jobs.entry_format import UnreadableError
from celery_impl.sidekiq.redis.queue_signal import SIGNAL
from celery_impl.sidekiq.redis.server_clock import CLOCK_S, time_argument
from celery_impl.sidekiq.redis.sets import Sets

ENTRIES: Final = "sidekiq:beat:entries"
ENTRY: Final = "sidekiq:beat:entry:"
#: Version of the records.
VERSION: Final = 1
#: Seconds before its expiry from which a run that has not begun holds up no other: an expiry of one interval
#: ends a moment after the next tick.
SLACK_S: Final = 0.05
#: What becomes of a tick, as the counts are called.
RUN, MISFIRE, OVERLAP, REFUSAL = "runs", "misfires", "overlaps", "refusals"
COUNTS: Final = (RUN, MISFIRE, OVERLAP, REFUSAL)

# What the holder's schedule has no longer is forgotten: should it come back, it begins anew. A last tick that
# is written back was made before the broker's clock stepped back, and the marks of runs that were set by then
# end as much earlier; those that were renewed since have an earlier end already.
_REGISTER: Final = """
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[1] then return 0 end
local kept = {}
for i = 3, #ARGV, 7 do
    local key, runs = ARGV[2] .. 'sidekiq:beat:entry:' .. ARGV[i], ARGV[2] .. 'sidekiq:beat:runs:' .. ARGV[i]
    local before = tonumber(redis.call('HGET', key, 'due') or 0)
    local back = before - ARGV[i + 2]
    if back > 0 then
        for _, run in ipairs(redis.call('ZRANGEBYSCORE', runs, text(before), '+inf')) do
            redis.call('ZINCRBY', runs, text(-back), run)
        end
    end
    kept[ARGV[i]] = true
    redis.call('SADD', KEYS[2], ARGV[i])
    redis.call('HSET', key, 'v', 1, 'schedule', ARGV[i + 1], 'due', ARGV[i + 2], 'next', ARGV[i + 3],
        'task', ARGV[i + 4], 'overlap', ARGV[i + 5], 'misfire', ARGV[i + 6])
end
for _, name in ipairs(redis.call('SMEMBERS', KEYS[2])) do
    if not kept[name] then
        redis.call('SREM', KEYS[2], name)
        redis.call('DEL', ARGV[2] .. 'sidekiq:beat:entry:' .. name, ARGV[2] .. 'sidekiq:beat:runs:' .. name)
    end
end
return 1
"""

_CLAIM: Final = """
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[2] then return 'lost' end
local last = redis.call('HGET', KEYS[2], 'due')
if not last then return 'unknown' end
if tonumber(last) >= tonumber(ARGV[3]) then return 'taken' end
redis.call('HSET', KEYS[2], 'due', ARGV[3], 'next', ARGV[4])
redis.call('HINCRBY', KEYS[2], 'misfires', ARGV[5])
if ARGV[6] ~= '' then redis.call('HINCRBY', KEYS[2], ARGV[6], 1) end
if ARGV[6] ~= 'runs' then return 'noted' end
local now = clock()
redis.call('HSET', KEYS[2], 'last_run_at', text(now), 'job', ARGV[7])
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', text(now))
if ARGV[8] ~= '' then redis.call('ZADD', KEYS[3], ARGV[8], ARGV[7]) end
for i = 11, #ARGV, 2 do
    local queue = ARGV[9] .. ARGV[i]
    redis.call('LPUSH', queue, ARGV[i + 1])
    if ARGV[10] == '1' then signal(queue) end
end
return 'noted'
"""

#: Answers of `claim`: done now; done before; another holds the lease; nothing is written of the entry.
NOTED, TAKEN, LOST, UNKNOWN = "noted", "taken", "lost", "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The record of an entry when a beat takes the lease: `due` is its last tick."""

    name: str
    schedule: str
    due: float
    next: float
    task: str
    overlap: str
    misfire: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of the tick `due` of an entry, and the number of misfires, which may include it.

    `count` is the one of COUNTS that it adds to, "" where `misfires` has it. `messages` are its job as it
    will be queued, each with the key of its queue; `job` counts as queued until `believed_until`;
    None if the policy does not need that.
    """

    name: str
    due: float
    next: float
    misfires: int = 0
    count: str = ""
    job: str = ""
    believed_until: float | None = None
    messages: Sequence[tuple[str, str]] = ()


class TickLedger:
    """The records at one broker, as the beat whose lease has `token` and `lease_key` writes them.

    `now` in place of the broker's clock is for tests.
    """

    def __init__(
        self, sets: Sets, *, lease_key: str, token: str, now: Callable[[], float] | None = None
    ) -> None:
        self._sets = sets
        self._lease_key, self._token, self._now = lease_key, token, now
        self._register = sets.client.register_script(TEXT + _REGISTER)
        self._claim = sets.client.register_script(CLOCK_S + TEXT + SIGNAL + _CLAIM)

    def last_ticks(self, schedules: Mapping[str, str]) -> dict[str, float]:
        """Return the last tick of each entry that is known with this schedule; `schedules` is by name.

        Raise UnreadableError where a newer version, or none of ours, wrote what is there.
        """
        with self._sets.client.pipeline(transaction=False) as pipe:
            for name in schedules:
                pipe.hmget(self._key(ENTRY, name), "v", "schedule", "due")
            answers: Iterable[Any] = pipe.execute()
        found = zip(schedules.items(), answers, strict=True)
        ticks = [
            (name, known == text.encode(), _due(name, v, due)) for (name, text), (v, known, due) in found if v
        ]
        return {name: due for name, same, due in ticks if same}

    def names(self) -> set[str]:
        """Return the entries of the beat that holds, or held last, the lease."""
        known: Any = self._sets.client.smembers(self._sets.prefix + ENTRIES)
        return {name.decode() for name in known}

    def last_job(self, name: str) -> str | None:
        """Return the id of the entry's last run."""
        known: Any = self._sets.client.hget(self._key(ENTRY, name), "job")
        return None if known is None else str(known.decode())

    def register(self, rows: Sequence[Row]) -> bool:
        """Write down the entries, and forget all others; False where another holds the lease."""
        args: list[Any] = [self._token, self._sets.prefix]
        for row in rows:
            args += [row.name, row.schedule, repr(row.due), repr(row.next)]
            args += [row.task, row.overlap, row.misfire]
        return bool(self._register(keys=[self._lease_key, self._sets.prefix + ENTRIES], args=args))

    def runs(self, name: str, now: float) -> int:
        """Return how many runs are running, or queued with more than SLACK_S until they expire."""
        return int(self._sets.client.zcount(self._key(RUNS, name), f"({now + SLACK_S!r}", "+inf"))

    def claim(self, outcome: Outcome) -> str:
        """Note what becomes of a tick, and queue its messages, in one step; see the answers above."""
        keys = [self._lease_key, self._key(ENTRY, outcome.name), self._key(RUNS, outcome.name)]
        believed = "" if outcome.believed_until is None else repr(outcome.believed_until)
        args: list[Any] = [
            time_argument(self._now and self._now()),
            self._token,
            repr(outcome.due),
            repr(outcome.next),
        ]
        args += [outcome.misfires, outcome.count, outcome.job, believed, self._sets.prefix]
        args += [int(self._sets.signals), *(part for pair in outcome.messages for part in pair)]
        answer: Any = self._claim(keys=keys, args=args)
        return str(answer.decode())

    def _key(self, kind: str, name: str) -> str:
        return f"{self._sets.prefix}{kind}{name}"


def _due(name: str, version: bytes, due: bytes | None) -> float:
    if int(version) > VERSION:
        raise UnreadableError(
            f"{ENTRY}{name} was written by version {int(version)} of the beat, and this one knows {VERSION}: "
            "upgrade it here too"
        )
    try:
        return float(due or "")
    except ValueError:
        raise UnreadableError(
            f"{ENTRY}{name} is corrupt: its last tick is {due!r}; delete the key to begin the entry anew"
        ) from None
