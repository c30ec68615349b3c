"""The one node of a worker: what the children run and hold as Celery's own requests, and commands for all.

Celery's commands read `celery.worker.state`. So before a command that does, and every second for heartbeats,
requests are made of the slots and of what the broker says the children hold, and put there. A command that
changes something is done by Celery's handler in the parent, and by each child.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from celery.worker import state as worker_state

from celery_impl.sidekiq.swarm.children import ChildProcess, Children
from celery_impl.sidekiq.swarm.messages import tell_all
from celery_impl.sidekiq.swarm.slots import Run

Handler = Callable[..., Any]
#: Commands that read or end what the children run, by Celery's names.
READERS: Final = (
    "active",
    "dump_active",
    "reserved",
    "dump_reserved",
    "query_task",
    "stats",
    "autoscale",
    "revoke",
    "terminate",
    "revoke_by_stamped_headers",
)
#: Commands that each child carries out as well.
FORWARDED: Final = (
    "rate_limit",
    "time_limit",
    "enable_events",
    "disable_events",
    "add_consumer",
    "cancel_consumer",
)
#: Commands that change what is revoked.
REVOKING: Final = ("revoke", "terminate", "revoke_by_stamped_headers")


class JobPid(int):
    """The process id of a job's process, which also knows the job."""

    child: ChildProcess
    number: int


class Node:
    """What Celery's commands see of the children; `consumer` is the parent's."""

    def __init__(self, consumer: Any, children: Children, pool: Any) -> None:
        self._consumer = consumer
        self._children = children
        self._pool = pool
        self._shown: dict[tuple[str, int], Any] = {}

    def request(self, child: ChildProcess, run: Run, entry: bytes) -> Any:
        """Return Celery's request of a job that a child runs, as if it had been accepted here."""
        known = self._shown.get((child.slot.holder, run.number))
        request = known if known is not None else self._made(child.slot.holder, run.number, entry)
        if request is not None and not request.time_start:
            pid = JobPid(child.pid)
            pid.child, pid.number = child, run.number
            request.worker_pid = pid
            request.time_start = time.time() - (time.monotonic() - run.started)
        return request

    def refresh(self, *, reserved: bool) -> None:
        """Put what the children run into Celery's state, and with `reserved` what they hold; raise AWAY."""
        runs = [(child, run) for child in self._children.alive if (run := child.run) is not None]
        late = [(child, run) for child, run in runs if not run.copy]
        entries = self._children.held.some_of([(child.slot.holder, run.number) for child, run in late])
        found = dict(zip([child.pid for child, _ in late], entries, strict=True))
        active = {}
        for child, run in runs:
            entry = run.copy or found.get(child.pid)
            if entry and (request := self.request(child, run, entry)) is not None:
                active[child.slot.holder, run.number] = request
        held = dict(active)
        if reserved:
            for holder in {name for child in self._children.alive if (name := child.slot.holder)}:
                for number, entry in self._children.held.all_of(holder).items():
                    if (holder, number) not in held:
                        request = self._shown.get((holder, number)) or self._made(holder, number, entry)
                        if request is not None:
                            held[holder, number] = request
        self._show(active, held)

    def forget(self) -> None:
        """Take everything out of Celery's state."""
        self._show({}, {})

    def handlers(self, celerys: dict[str, Handler]) -> dict[str, Handler]:
        """Return the table of commands of this node."""
        table = dict(celerys)
        for name in READERS:
            if name in table:
                table[name] = self._reader(name, table[name])
        for name in FORWARDED:
            table[name] = self._forwarded(name, table[name])
        return table

    def _reader(self, name: str, celerys: Handler) -> Handler:
        def command(state: Any, *args: Any, **arguments: Any) -> Any:
            self.refresh(reserved=True)
            if name not in REVOKING:
                return celerys(state, *args, **arguments)
            self._revoke(name, arguments)
            answer = celerys(state, *args, **arguments)
            self._tell_revoked()
            return answer

        return command

    def _forwarded(self, name: str, celerys: Handler) -> Handler:
        def command(state: Any, *args: Any, **arguments: Any) -> Any:
            answer = celerys(state, *args, **arguments)
            if not (isinstance(answer, dict) and "error" in answer):
                self.tell(name, arguments)
            return answer

        return command

    def tell(self, name: str, arguments: dict[str, Any]) -> None:
        """Have each child carry out a command."""
        tell_all([child.line for child in self._children.alive], name, arguments)

    def _revoke(self, name: str, arguments: dict[str, Any]) -> None:
        """Tell the children first: what has not begun must not begin while Celery looks."""
        ids = arguments.get("task_id") or () if name != "revoke_by_stamped_headers" else ()
        if ids := [ids] if isinstance(ids, str) else list(ids):
            self.tell("revoked", {"ids": ids, "stamps": {}})

    def _tell_revoked(self) -> None:
        if worker_state.revoked_stamps:
            self.tell("revoked", {"ids": [], "stamps": dict(worker_state.revoked_stamps)})

    def _made(self, holder: str, number: int, entry: bytes) -> Any:
        return self._children.held.request(
            holder,
            number,
            entry,
            eventer=self._consumer.event_dispatcher,
            pool=self._pool,
            hostname=self._consumer.hostname,
        )

    def _show(self, active: dict[tuple[str, int], Any], held: dict[tuple[str, int], Any]) -> None:
        for key in self._shown.keys() - held.keys():
            request = self._shown.pop(key)
            worker_state.requests.pop(request.id, None)
            worker_state.active_requests.discard(request)
            worker_state.reserved_requests.discard(request)
        self._shown = held
        for key, request in held.items():
            worker_state.requests[request.id] = request
            worker_state.reserved_requests.add(request)
            (worker_state.active_requests.add if key in active else worker_state.active_requests.discard)(
                request
            )
        counts = self._children.counts()
        worker_state.total_count.clear()
        worker_state.total_count.update(counts)
        worker_state.all_total_count[0] = sum(counts.values())
