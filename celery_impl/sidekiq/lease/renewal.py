"""The thread that keeps a process's leases: one for each broker, alive while anything is held there.

A thread, because the solo pool blocks the worker's event loop for as long as a job runs; and beside it a
process (`renewal_process`) where jobs run in the worker's own, and may stop all of its threads. It has
connections of its own, and outlives every error of the broker. At each turn it

1. renews the lease of each holder of this process,
2. confirms what was acknowledged, and gives back what could not be given back at once,
3. gives back what the holders of closed channels hold no longer for a running job,
4. gives back what dead workers held (`watch`).
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping
from typing import Any, Final

import redis

from celery_impl.sidekiq.lease import scripts
from celery_impl.sidekiq.lease.fire_and_forget_acks import FireAndForgetAcks
from celery_impl.sidekiq.lease.holder import AWAY, Holder
from celery_impl.sidekiq.lease.lease_store import LEASES, LeaseStore
from celery_impl.sidekiq.lease.pipelined_commands import PipelinedCommands
from celery_impl.sidekiq.lease.renewal_process import RenewalProcess
from celery_impl.sidekiq.lease.watch import Watch
from celery_impl.sidekiq.redis.periodic_thread import PeriodicThread

#: Turns in one lease: a worker that misses a few is not taken for dead.
TURNS: Final = 8
#: Longest time for a command, as a part of the lease. A time-out of the app's own does not count here: a
#: connection that has gone silent must be given up while there is time to renew over the next.
PATIENCE: Final = 1 / 3
#: Longest time for a command in seconds, however long the lease.
PATIENCE_S: Final = 1.0

#: redis-py's own connections, of which ours are derived: the process knows these alone.
_CONNECTIONS: Final = (redis.SSLConnection, redis.UnixDomainSocketConnection, redis.Connection)

logger = logging.getLogger(__name__)

_renewals: dict[tuple[object, ...], Renewal] = {}
_entering: Final = threading.Lock()


class Renewal:
    """Keeps the leases of this process at one broker."""

    def __init__(self, pool: Any, *, prefix: str, lease_s: float, options: Mapping[str, Any]) -> None:
        self._pool = pool
        self._leases = LeaseStore(PipelinedCommands(lambda: pool), prefix=prefix, lease_s=lease_s)
        self._acks = FireAndForgetAcks(pool)
        self._holders: list[Holder] = []
        self._watch = Watch(lease_s)
        self._prefix, self._lease_s, self._options = prefix, lease_s, options
        self._apart = False
        self._process: RenewalProcess | None = None
        self._thread = PeriodicThread({self.turn: lease_s / TURNS}, close=self._close, name="sidekiq-lease")

    def add_holder(self, *, apart: bool) -> Holder:
        """Return a new holder, which the thread keeps from now on; raise redis-py's errors."""
        # Connected here and not in the thread: a process that is forked meanwhile finds no lock held.
        self._acks.connect()
        holder = Holder(self._leases, self._acks)
        self._holders.append(holder)
        self._apart = self._apart or apart
        if not self._thread.is_alive():
            self._thread.start()
        return holder

    def turn(self) -> None:
        """One turn of the thread."""
        if self._apart:
            self._tell_process()
        asked = time.monotonic()
        signs = self._leases.renew(holder.id for holder in tuple(self._holders))
        dead = self._watch.dead(signs, asked=asked, answered=time.monotonic())
        self._acks.connect()
        for holder in tuple(self._holders):
            holder.confirm()
            if holder.retired and not holder.recover():
                self._holders.remove(holder)
        self._leases.reap(dead)
        with _entering:
            if not self._holders:
                _forget(self)
                self._thread.stop()

    def _tell_process(self) -> None:
        if self._process is None or self._process.ended:
            self._start_process()
        if self._process is not None:
            self._process.tell([holder.id for holder in tuple(self._holders)])

    def _start_process(self) -> None:
        kind = next(known for known in _CONNECTIONS if issubclass(self._pool.connection_class, known))
        try:
            self._process = RenewalProcess(
                (kind, self._options),
                script=scripts.RENEW_KNOWN.text,
                key=self._prefix + LEASES,
                head=("", round(self._lease_s * 1000)),
                every_s=self._lease_s / TURNS,
            )
        except Exception as error:  # noqa: BLE001 - whatever pickle raises for an option of the user's
            self._apart = False
            logger.warning(
                "no process can renew this worker's lease (%s): a job that holds the interpreter's lock for "
                "%g s runs on another worker too; the prefork pool has no such limit",
                error,
                self._lease_s,
            )
        else:
            logger.info("process %d renews this worker's lease beside its thread", self._process.pid)

    def _close(self) -> None:
        if self._process is not None:
            self._process.close()
        self._acks.close()
        self._pool.disconnect()


def hold(channel: Any, *, lease_s: float, apart: bool = False) -> Holder:
    """Return a holder for a channel; the thread for the channel's broker renews its lease.

    With `apart`, so does a process of its own.
    """
    pool: Any = channel.pool
    kwargs = dict(pool.connection_kwargs)
    prefix = channel.global_keyprefix
    place = tuple(kwargs.get(part) for part in ("host", "port", "path", "db"))
    key = (os.getpid(), place, prefix, lease_s)
    with _entering:
        if key not in _renewals:
            kwargs |= dict.fromkeys(_timeouts(kwargs), min(PATIENCE_S, PATIENCE * lease_s))
            own = redis.ConnectionPool(connection_class=pool.connection_class, **kwargs)
            # Without what a pool of redis-py adds for itself, which no other process can take.
            given = {name: kwargs[name] for name in channel.connection_options()}
            _renewals[key] = Renewal(own, prefix=prefix, lease_s=lease_s, options=given)
        return _renewals[key].add_holder(apart=apart)


def _timeouts(kwargs: Mapping[str, Any]) -> tuple[str, ...]:
    """The options that bound a command; over a Unix socket there is none for the connect."""
    return ("socket_timeout",) if "path" in kwargs else ("socket_timeout", "socket_connect_timeout")


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
