"""The leases of one broker: who holds which job and until when, and the pauses of queues.

All keys begin with `prefix` (kombu's global_keyprefix). `now`, where it is given, is a time in ms for the
broker to take for its own clock's; tests do that. Errors are redis-py's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from celery_impl.sidekiq.lease import scripts
from celery_impl.sidekiq.lease.pipelined_commands import Command, PipelinedCommands
from celery_impl.sidekiq.redis.lua_clock import time_argument
from celery_impl.sidekiq.redis.queue_signal import signal_key

#: Seconds for which a worker holds its jobs without a sign of life.
LEASE_S: Final = 3.0
#: Holders whose jobs one call gives back: the script blocks the broker meanwhile.
REAP_LIMIT: Final = 10
#: Longest silence, as a part of the lease, after which a worker may still judge others' leases.
SILENCE: Final = 0.5

LEASES: Final = "sidekiq:lease:holders"
HELD: Final = "sidekiq:lease:held:"
PAUSED: Final = "sidekiq:lease:paused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """Since when, and until when, a worker was in touch with its broker: ms of the broker's clock."""

    since: int
    until: int

    def heard(self, now: int, *, silence_ms: float) -> Contact:
        """Return the contact after a sign of life; it begins anew after a longer silence."""
        return Contact(since=self.since if now - self.until <= silence_ms else now, until=now)


class LeaseStore:
    """Calls the scripts through `wire`."""

    def __init__(self, wire: PipelinedCommands, *, prefix: str = "", lease_s: float = LEASE_S) -> None:
        self.commands = wire
        self.prefix = prefix
        self.lease_ms = round(lease_s * 1000)
        self.silence_ms = self.lease_ms * SILENCE

    def held_key(self, holder: str) -> str:
        """Return the key of what the holder holds."""
        return f"{self.prefix}{HELD}{holder}"

    def fetch_arguments(
        self, holder: str, number: int, count: int, queues: Sequence[tuple[str, str]], now: int | None = None
    ) -> Command:
        """Keys' count, keys and arguments of FETCH; `queues` are pairs of key, without prefix, and name."""
        keys = [self.held_key(holder), self.prefix + LEASES, self.prefix + PAUSED]
        keys += [self.prefix + key for key, _ in queues]
        names = [name for _, name in queues]
        return (len(keys), *keys, time_argument(now), self.lease_ms, holder, number, count, *names)

    def fetch(
        self, holder: str, number: int, count: int, queues: Sequence[tuple[str, str]], now: int | None = None
    ) -> list[bytes]:
        """Move up to `count` jobs to the holder, numbered from `number`, and return their entries."""
        length, *rest = self.fetch_arguments(holder, number, count, queues, now)
        return list(self.commands.run(scripts.FETCH, rest[:length], rest[length:]))

    def acknowledge(self, holder: str, numbers: Iterable[int]) -> None:
        """Forget these jobs of the holder; those that it does not hold do not matter."""
        if fields := tuple(numbers):
            self.commands.call(("HDEL", self.held_key(holder), *fields))

    def give_back(self, holder: str, numbers: Iterable[int]) -> None:
        """Put these jobs in front of their queues, in the order in which they were taken."""
        self.commands.run(scripts.GIVE_BACK, [self.held_key(holder)], tuple(numbers))

    def recover(self, holder: str, keep: Iterable[int] = ()) -> bool:
        """Give back all but `keep`; return whether the holder still holds any, else its lease has ended."""
        keys = [self.held_key(holder), self.prefix + LEASES]
        return bool(self.commands.run(scripts.RECOVER, keys, (holder, *keep)))

    def renew(self, holders: Iterable[str], now: int | None = None) -> int:
        """Let the holders' leases begin now; return the broker's time."""
        args = (time_argument(now), self.lease_ms, *holders)
        return int(self.commands.run(scripts.RENEW, [self.prefix + LEASES], args))

    def reap(self, contact: Contact, now: int | None = None) -> int:
        """Give back what holders hold whose lease has ended; return how many jobs this call gave back."""
        when = (time_argument(now), contact.since, contact.until, self.lease_ms, self.silence_ms)
        args = (*when, REAP_LIMIT, self.prefix + HELD)
        return int(self.commands.run(scripts.REAP, [self.prefix + LEASES], args))

    def pause(self, queue: str) -> None:
        """Pause the queue: no worker takes a job from it until `resume`. Jobs that were taken go on."""
        self.commands.call(("SADD", self.prefix + PAUSED, queue))

    def resume(self, queue: str) -> None:
        """End a pause."""
        self.commands.call(
            ("SREM", self.prefix + PAUSED, queue), ("ZADD", signal_key(self.prefix + queue), 0, 1)
        )

    def paused(self) -> set[str]:
        """Return the queues that are paused."""
        [names] = self.commands.call(("SMEMBERS", self.prefix + PAUSED))
        return {name.decode() for name in names}

    def jobs_by_holder(self) -> dict[str, list[str]]:
        """Return what each holder with a lease holds, in the order in which it was taken: the messages."""
        [holders] = self.commands.call(("ZRANGE", self.prefix + LEASES, 0, -1))
        return {holder.decode(): self._messages(holder.decode()) for holder in holders}

    def _messages(self, holder: str) -> list[str]:
        [numbers] = self.commands.call(("HKEYS", self.held_key(holder)))
        ordered = sorted(numbers, key=int)
        [entries] = self.commands.call(("HMGET", self.held_key(holder), *ordered)) if ordered else [[]]
        return [entry.decode().partition("\n")[2] for entry in entries if entry is not None]
