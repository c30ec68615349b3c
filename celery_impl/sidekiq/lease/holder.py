"""The jobs of one consumer, from their fetch to their acknowledgement.

A holder outlives its channel. Where a connection is lost, the jobs that run go on, stay held, and are
acknowledged through the holder; all else is given back, as soon as the broker answers.
"""

from __future__ import annotations

import os
import socket
import sys
import uuid
from collections.abc import Callable, Iterable
from typing import Any

import redis

from celery_impl.sidekiq.lease.fire_and_forget_acks import FireAndForgetAcks
from celery_impl.sidekiq.lease.lease_store import LeaseStore

#: Errors of a broker that is away.
AWAY = (redis.ConnectionError, redis.TimeoutError, OSError)


def running_tags() -> Iterable[str]:
    """Return the delivery tags of the jobs that run in this process's Celery worker, where there is one."""
    state: Any = sys.modules.get("celery.worker.state")
    return [request.message.delivery_tag for request in tuple(state.active_requests)] if state else []


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
        self.id = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.leases = leases
        #: The number of the next job, and how many came so far.
        self.next = 0
        #: Whether its channel is closed.
        self.retired = False
        self._acks = acks
        self._running = running
        self._key = leases.held_key(self.id)
        self._unconfirmed: list[int] = []
        self._to_give_back: list[int] = []

    def tag(self, number: int) -> str:
        """Return the delivery tag of a job, which no other job of any worker has."""
        return f"{self.id}:{number}"

    def holds(self, tag: str) -> bool:
        """Return whether the tag is one of this holder's."""
        return tag.rpartition(":")[0] == self.id

    def acknowledge(self, tag: str) -> None:
        """Acknowledge a job that is done. Does not wait for the broker and does not raise its errors."""
        number = _number(tag)
        self._unconfirmed.append(number)
        self._acks.send(self._key, number)

    def give_back(self, tag: str) -> None:
        """Put the job in front of its queue, now or as soon as the broker answers."""
        number = _number(tag)
        try:
            self.leases.give_back(self.id, [number])
        except AWAY:
            self._to_give_back.append(number)

    def recover(self) -> bool:
        """Give back all but what runs; return whether it still holds any."""
        self.confirm()
        return self.leases.recover(self.id, map(_number, filter(self.holds, self._running())))

    def confirm(self) -> None:
        """Repeat the acknowledgements that the broker may not have received, and wait for its answer."""
        # Others append meanwhile, always at the end.
        done, back = list(self._unconfirmed), list(self._to_give_back)
        self.leases.acknowledge(self.id, done)
        del self._unconfirmed[: len(done)]
        if back:
            self.leases.give_back(self.id, back)
            del self._to_give_back[: len(back)]


def _number(tag: str) -> int:
    return int(tag.rpartition(":")[2])
