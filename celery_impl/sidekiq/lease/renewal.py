"""The thread that keeps a process's leases: one for each broker, alive while anything is held there.

A thread, because the solo pool blocks the worker's event loop for as long as a job runs. It has
connections of its own, and outlives every error of the broker. At each turn it

1. renews the lease of each holder of this process,
2. confirms what was acknowledged, and gives back what could not be given back at once,
3. gives back what the holders of closed channels hold no longer for a running job,
4. gives back what dead workers held, if it was in touch with the broker for a whole lease: after a silence
   every living worker's lease has ended too, and each needs a moment to renew it.
"""

from __future__ import annotations

import os
import threading
from typing import Any, Final

import redis

from celery_impl.sidekiq.lease.fire_and_forget_acks import FireAndForgetAcks
from celery_impl.sidekiq.lease.holder import AWAY, Holder
from celery_impl.sidekiq.lease.lease_store import Contact, LeaseStore
from celery_impl.sidekiq.lease.pipelined_commands import PipelinedCommands
from celery_impl.sidekiq.redis.periodic_thread import PeriodicThread

#: Turns in one lease: a worker that misses a few is not taken for dead.
TURNS: Final = 8
#: Seconds that a command may take where the transport options name no limit.
PATIENCE_S: Final = 1.0

_renewals: dict[tuple[object, ...], Renewal] = {}
_entering: Final = threading.Lock()


class Renewal:
    """Keeps the leases of this process at one broker."""

    def __init__(self, pool: Any, *, prefix: str, lease_s: float) -> None:
        self._pool = pool
        self._leases = LeaseStore(PipelinedCommands(lambda: pool), prefix=prefix, lease_s=lease_s)
        self._acks = FireAndForgetAcks(pool)
        self._holders: list[Holder] = []
        self._contact = Contact(since=0, until=0)
        self._thread = PeriodicThread({self.turn: lease_s / TURNS}, close=self._close, name="sidekiq-lease")

    def add_holder(self) -> Holder:
        """Return a new holder, which the thread keeps from now on; raise redis-py's errors."""
        # Connected here and not in the thread: a process that is forked meanwhile finds no lock held.
        self._acks.connect()
        holder = Holder(self._leases, self._acks)
        self._holders.append(holder)
        if not self._thread.is_alive():
            self._thread.start()
        return holder

    def turn(self) -> None:
        """One turn of the thread."""
        now = self._leases.renew(holder.id for holder in tuple(self._holders))
        self._contact = self._contact.heard(now, silence_ms=self._leases.silence_ms)
        self._acks.connect()
        for holder in tuple(self._holders):
            holder.confirm()
            if holder.retired and not holder.recover():
                self._holders.remove(holder)
        while self._leases.reap(self._contact):
            pass
        with _entering:
            if not self._holders:
                _forget(self)
                self._thread.stop()

    def _close(self) -> None:
        self._acks.close()
        self._pool.disconnect()


def hold(channel: Any, *, lease_s: float) -> Holder:
    """Return a holder for a channel; the thread for the channel's broker renews its lease."""
    pool: Any = channel.pool
    kwargs = dict(pool.connection_kwargs)
    prefix = channel.global_keyprefix
    place = tuple(kwargs.get(part) for part in ("host", "port", "path", "db"))
    key = (os.getpid(), place, prefix, lease_s)
    with _entering:
        if key not in _renewals:
            kwargs = {**kwargs, "socket_timeout": kwargs.get("socket_timeout") or PATIENCE_S}
            own = redis.ConnectionPool(connection_class=pool.connection_class, **kwargs)
            _renewals[key] = Renewal(own, prefix=prefix, lease_s=lease_s)
        return _renewals[key].add_holder()


def retire(holder: Holder) -> None:
    """The holder's channel has closed: give back all but what runs, now or as soon as the broker answers."""
    try:
        holder.recover()
    except AWAY:
        pass
    finally:
        holder.retired = True


def _forget(renewal: Renewal) -> None:
    for key, value in tuple(_renewals.items()):
        if value is renewal:
            del _renewals[key]
