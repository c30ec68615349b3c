"""The leases of one broker: who holds which job and until when, and the pauses of queues.

All keys begin with `prefix` (kombu's global_keyprefix). `now`, where it is given, is a time in ms for the
broker to take for its own clock's; tests do that. Errors are redis-py's.

A holder's name ends in the length of its lease, so that others know how long to wait for a sign of it.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice
from typing import Final

from celery_impl.sidekiq.lease import scripts
from celery_impl.sidekiq.lease.pipelined_commands import Command, PipelinedCommands
from celery_impl.sidekiq.redis.queue_signal import signal_key
from celery_impl.sidekiq.redis.server_clock import time_argument

#: Seconds for which a worker holds its jobs without a sign of life.
LEASE_S: Final = 3.0
#: Holders whose jobs one call gives back: the script blocks the broker meanwhile.
REAP_LIMIT: Final = 10
#: Holders at either end of the order whose signs one look shows; all of them in most places.
LOOK_LIMIT: Final = 50
#: What stands before the length of the lease, in ms, in a holder's name.
LENGTH: Final = "/"

LEASES: Final = "sidekiq:lease:holders"
HELD: Final = "sidekiq:lease:held:"
PAUSED: Final = "sidekiq:lease:paused"


def lease_s_of(holder: str, *, default_s: float) -> float:
    """Return the seconds without a sign after which the holder counts as dead.

    A name of version 0.1 does not tell: `default_s`.
    """
    _, found, length_ms = holder.rpartition(LENGTH)
    return int(length_ms) / 1000 if found and length_ms.isdecimal() else default_s


class LeaseStore:
    """Calls the scripts through `wire`."""

    def __init__(self, wire: PipelinedCommands, *, prefix: str = "", lease_s: float = LEASE_S) -> None:
        self.commands = wire
        self.prefix = prefix
        self.lease_ms = round(lease_s * 1000)

    def new_holder(self) -> str:
        """Return a name that no other holder has."""
        return f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}{LENGTH}{self.lease_ms}"

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

    def others_lack_work(self, queues: Iterable[str]) -> bool:
        """Return whether there are other holders and these queues are empty; keys without prefix."""
        keys = (self.prefix + queue for queue in queues)
        waiting, holders = self.commands.call(("EXISTS", *keys), ("ZCARD", self.prefix + LEASES))
        return bool(waiting == 0 and holders > 1)

    def return_unstarted(self, holder: str, numbers: Iterable[int]) -> None:
        """Put these jobs, which never began to run, in front of their queues, without a mark of that."""
        self.commands.run(scripts.RETURN, [self.held_key(holder)], tuple(numbers))

    def recover(self, holder: str, keep: Iterable[int] = ()) -> bool:
        """Give back all but `keep`; return whether the holder still holds any, else its lease has ended."""
        keys = [self.held_key(holder), self.prefix + LEASES]
        return bool(self.commands.run(scripts.RECOVER, keys, (holder, *keep)))

    def renew(self, holders: Iterable[str], now: int | None = None) -> dict[str, float]:
        """Let the holders' leases begin now; return the last sign of each holder, of these and others."""
        args = (time_argument(now), self.lease_ms, LOOK_LIMIT, *holders)
        signs = self.commands.run(scripts.RENEW, [self.prefix + LEASES], args)
        return {holder.decode(): float(sign) for holder, sign in zip(signs[::2], signs[1::2], strict=True)}

    def reap(self, dead: Mapping[str, float]) -> int:
        """Give back what these hold, each if its last sign is still this; return how many jobs that were."""
        left, moved = iter(dead.items()), 0
        while some := tuple(islice(left, REAP_LIMIT)):
            args = (self.prefix + HELD, *chain(*some))
            moved += int(self.commands.run(scripts.REAP, [self.prefix + LEASES], args))
        return moved

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
