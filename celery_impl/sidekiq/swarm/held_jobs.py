"""What the children hold, read from the broker by their parent, and how it leaves them when a child is dead.

A child's jobs are in the hash of its holder from their fetch to their acknowledgement. So the parent can show
them, and deal with those of a child that can no longer do so. It also renews the leases of its children: a
job that holds the interpreter's lock stops the thread that does so in its own process, and a dead child's
jobs must not go to others before the parent has seen what became of the one that ran.

Errors are redis-py's. No call takes much longer than PATIENCE_S.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from functools import cached_property
from typing import Any, Final

import redis
from celery import Celery
from celery.worker import request as celerys
from kombu.utils.imports import symbol_by_name
from kombu.utils.json import loads

from celery_impl.sidekiq.lease import scripts
from celery_impl.sidekiq.lease.holder import AWAY
from celery_impl.sidekiq.lease.lease_store import LEASES, LeaseStore
from celery_impl.sidekiq.lease.pipelined_commands import PipelinedCommands
from celery_impl.sidekiq.lease.scripts import MARK
from celery_impl.sidekiq.redis.periodic_thread import PeriodicThread

#: Longest time in seconds for a command, and to connect.
PATIENCE_S: Final = 1.0
#: Renewals in one lease, as in `lease.renewal`.
TURNS: Final = 8

_CELERYS: Final[Any] = celerys

logger = logging.getLogger(__name__)


class HeldJobs:
    """The parent's way to the broker; `holders` returns the names of the holders to renew."""

    def __init__(self, app: Celery, holders: Callable[[], Collection[str]]) -> None:
        self._app = app
        self._holders = holders
        self._thread: PeriodicThread | None = None

    def connect(self) -> None:
        """Connect; raise redis-py's or kombu's errors."""
        self.leases.commands.call(("PING",))

    def start(self) -> None:
        """Renew from now on."""
        if self._thread is None:
            every_s = self.leases.lease_ms / 1000 / TURNS
            self._thread = PeriodicThread({self._renew: every_s}, close=self._close, name="swarm-leases")
            self._thread.start()

    def stop(self) -> None:
        """Renew no more."""
        if self._thread is not None:
            self._thread.stop()
            self._thread = None

    @cached_property
    def channel(self) -> Any:
        """A channel that never fetches, for what kombu makes of a message."""
        connection = self._app.connection_for_write()
        connection.connect()  # whose errors the worker knows
        return connection.default_channel

    @cached_property
    def leases(self) -> LeaseStore:
        """The leases, by connections whose commands end in time."""
        pool, prefix = self.channel.pool, self.channel.global_keyprefix
        options = {**pool.connection_kwargs, "socket_timeout": PATIENCE_S}
        if "path" not in options:  # over a Unix socket there is no limit to connect
            options["socket_connect_timeout"] = PATIENCE_S
        own = redis.ConnectionPool(connection_class=pool.connection_class, **options)
        return LeaseStore(PipelinedCommands(lambda: own), prefix=prefix, lease_s=self.channel.lease_s)

    def all_of(self, holder: str) -> dict[int, bytes]:
        """Return the entries that a holder holds, by their numbers, in order."""
        if not holder:
            return {}
        [found] = self.leases.commands.call(("HGETALL", self.leases.held_key(holder)))
        pairs = found.items() if isinstance(found, dict) else zip(found[::2], found[1::2], strict=True)
        return dict(sorted((int(number), entry) for number, entry in pairs))

    def some_of(self, numbers: Iterable[tuple[str, int]]) -> list[bytes | None]:
        """Return the entries of these pairs of holder and number; None where it is held no longer."""
        asked = [("HGET", self.leases.held_key(holder), number) for holder, number in numbers]
        return self.leases.commands.call(*asked) if asked else []

    def waiting(self, queues: Iterable[str]) -> int:
        """Return how many jobs wait in these queues."""
        keys = [self._key(queue, step) for queue in queues for step in self.channel.priority_steps]
        return sum(self.leases.commands.call(*(("LLEN", key) for key in keys))) if keys else 0

    def give_back(self, holder: str, numbers: Iterable[int], *, began: bool) -> None:
        """Put these jobs in front of their queues, with a mark of it where they `began` to run."""
        (self.leases.give_back if began else self.leases.return_unstarted)(holder, numbers)

    def forget(self, holder: str) -> None:
        """End the lease of a holder; what it still holds goes back."""
        self.leases.recover(holder)

    def request(
        self, holder: str, number: int, entry: bytes, *, eventer: Any, pool: Any, hostname: str
    ) -> Any:
        """Return Celery's request of an entry; None for one that is none of a task of this app."""
        _, _, text = entry.partition(b"\n")
        marked = text.startswith(MARK.encode())
        try:
            raw = loads(text.decode())
            raw.pop("redelivered", None)
            raw["properties"]["delivery_tag"] = f"{holder}:{number}"
            raw["properties"]["delivery_info"]["redelivered"] = marked
            message = self.channel.message_to_python(raw)
            task = self._app.tasks[message.headers["task"]]
            kind = _CELERYS.create_request_cls(
                symbol_by_name(task.Request), task, pool, hostname, eventer, app=self._app
            )
            return kind(
                message,
                on_ack=lambda *_: self.leases.acknowledge(holder, [number]),
                on_reject=lambda *options: self._reject(holder, number, requeue=options[-1]),
                app=self._app,
                hostname=hostname,
                eventer=eventer,
                task=task,
                connection_errors=AWAY,
                body=message.body,
                headers=message.headers,
                decoded=False,
                utc=True,
            )
        except Exception:  # noqa: BLE001 - what is no job is dealt with where it is fetched
            return None

    def _reject(self, holder: str, number: int, *, requeue: bool) -> None:
        if requeue:
            self.give_back(holder, [number], began=True)
        else:
            self.leases.acknowledge(holder, [number])

    def _key(self, queue: str, step: int) -> str:
        return f"{self.leases.prefix}{self.channel._q_for_pri(queue, step)}"  # noqa: SLF001 - our own transport's

    def _renew(self) -> None:
        if holders := self._holders():
            args = ("", self.leases.lease_ms, *holders)
            self.leases.commands.run(scripts.RENEW_KNOWN, [self.leases.prefix + LEASES], args)

    def _close(self) -> None:
        self.channel.connection.client.release()
