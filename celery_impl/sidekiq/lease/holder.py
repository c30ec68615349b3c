"""The jobs of one consumer, from their fetch to their acknowledgement.

A holder outlives its channel. Where a connection is lost, the jobs that run go on, stay held, and are
acknowledged through the holder; all else is given back, as soon as the broker answers.

An acknowledgement is sent at once, or it is noted and goes with the next fetch (`inbox`).
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

import redis

from celery_impl.sidekiq.lease.fire_and_forget_acks import FireAndForgetAcks
from celery_impl.sidekiq.lease.lease_store import LeaseStore

#: Errors of a broker that is away.
AWAY = (redis.ConnectionError, redis.TimeoutError, OSError)


#: Tags of the jobs that have run and are not acknowledged yet.
_ending: Final[set[str]] = set()


class ending:  # noqa: N801 - read as a function; a generator would cost microseconds for each job
    """Let a job count as running while its end is dealt with: Celery takes it off its list before that."""

    __slots__ = ("_tag",)

    def __init__(self, tag: str) -> None:
        self._tag = tag

    def __enter__(self) -> None:
        _ending.add(self._tag)

    def __exit__(self, *_: object) -> None:
        _ending.discard(self._tag)


def running_tags() -> Iterable[str]:
    """Return the delivery tags of the jobs that run in this process's Celery worker, where there is one."""
    state: Any = sys.modules.get("celery.worker.state")
    # The list first: who leaves it is among the others by then.
    listed = [request.message.delivery_tag for request in tuple(state.active_requests)] if state else []
    return [*listed, *tuple(_ending)]


def stopping() -> bool:
    """Return whether this process's Celery worker was told to stop."""
    state: Any = sys.modules.get("celery.worker.state")
    return state is not None and (state.should_stop is not None or state.should_terminate is not None)


class Holder:
    """The jobs of one consumer; `running` returns the tags of those that run now. Any thread acknowledges."""

    def __init__(
        self,
        leases: LeaseStore,
        acks: FireAndForgetAcks,
        *,
        running: Callable[[], Iterable[str]] = running_tags,
    ) -> None:
        self.id = leases.new_holder()
        self.leases = leases
        self._tags = f"{self.id}:"
        #: The number of the next job, and how many came so far.
        self.next = 0
        #: Whether its channel is closed.
        self.retired = False
        self._acks = acks
        self._running = running
        #: The key of what it holds.
        self.key = leases.held_key(self.id)
        #: What is acknowledged; what of that was not sent yet, and since when there is any.
        self._unconfirmed: set[int] = set()
        self._noted: deque[int] = deque()
        self._noted_since = 0.0
        self._to_give_back: dict[int, None] = {}  # in this order

    def tag(self, number: int) -> str:
        """Return the delivery tag of a job, which no other job of any worker has."""
        return f"{self._tags}{number}"

    def holds(self, tag: str) -> bool:
        """Return whether the tag is one of this holder's."""
        return tag.startswith(self._tags)

    def acknowledge(self, tag: str) -> None:
        """Acknowledge a job that is done. Does not wait for the broker and does not raise its errors."""
        number = _number(tag)
        if number not in self._unconfirmed:
            self._unconfirmed.add(number)
            self._acks.send(self.key, number)

    def note(self, tag: str) -> None:
        """Acknowledge a job that is done, with the next command that goes to the broker anyway."""
        number = _number(tag)
        if number not in self._unconfirmed:
            self._unconfirmed.add(number)
            if not self._noted:
                self._noted_since = time.monotonic()
            self._noted.append(number)

    @property
    def noted(self) -> int:
        """How many acknowledgements are noted and not sent."""
        return len(self._noted)

    def noted_for_s(self) -> float:
        """For how many seconds the oldest of them has been."""
        return time.monotonic() - self._noted_since if self._noted else 0.0

    def take_noted(self) -> tuple[int, ...]:
        """Return the numbers that are noted; who takes them sends them, or leaves it to `confirm`."""
        taken = []
        while self._noted:
            try:
                taken.append(self._noted.popleft())
            except IndexError:  # another thread has taken the last
                break
        return tuple(taken)

    def send_noted(self) -> None:
        """Send what is noted; it does not wait for the broker and does not raise its errors."""
        if taken := self.take_noted():
            self._acks.send(self.key, *taken)

    def confirmed(self, numbers: Iterable[int]) -> None:
        """Forget acknowledgements that the broker has answered."""
        self._unconfirmed.difference_update(numbers)

    def give_back(self, tag: str) -> None:
        """Put the job in front of its queue, now or as soon as the broker answers."""
        number = _number(tag)
        try:
            self.leases.give_back(self.id, [number])
        except AWAY:
            self._to_give_back[number] = None

    def return_unstarted(self, tags: Iterable[str]) -> None:
        """As `give_back`, jobs that never began: they go back as they came, unless the broker is away."""
        numbers = [_number(tag) for tag in tags]
        try:
            self.leases.return_unstarted(self.id, numbers)
        except (redis.RedisError, OSError):
            self._to_give_back.update(dict.fromkeys(numbers))

    def recover(self) -> bool:
        """Give back all but what runs; return whether it still holds any."""
        # In this order: what has left the list is acknowledged, and that is told before the rest goes back.
        running = [_number(tag) for tag in self._running() if self.holds(tag)]
        self.confirm()
        return self.leases.recover(self.id, running)

    def confirm(self) -> None:
        """Repeat the acknowledgements that the broker may not have received, and wait for its answer."""
        # Others add meanwhile, and another thread may confirm the same: each removes what it has told itself.
        done, back = tuple(self._unconfirmed), list(self._to_give_back)
        self.leases.acknowledge(self.id, done)
        self.confirmed(done)
        if back:
            self.leases.give_back(self.id, back)
            for number in back:
                self._to_give_back.pop(number, None)


def _number(tag: str) -> int:
    return int(tag.rpartition(":")[2])
