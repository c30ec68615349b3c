"""Observer: the whole tree as it is now, as plain data, as a tree of text, and as JSON.

    >>> import asyncio
    >>> from inprocess.supervision.supervisors.supervisor import ChildSpec, Supervisor
    >>> from inprocess.supervision.servers.gen_server import GenServer
    >>> async def main():
    ...     spec = ChildSpec("cache", lambda: GenServer.start(name="cache"))
    ...     async with Supervisor.start([spec], name="app"):
    ...         return snapshot("app")
    >>> app = asyncio.run(main()).roots[0]
    >>> (app.name, app.state, app.restarts), [(child.id, child.kind) for child in app.children]
    (('app', 'running', 0), [('cache', 'GenServer')])

As Erlang's observer, without the window. A look from another thread waits for the loop's next
turn and takes one turn of it: some 20 µs a node shown. A loop that takes no turn is a finding,
not an error: its processes are shown as "no answer". Seconds throughout; moments as ISO 8601.
"""

from __future__ import annotations

import dataclasses
import time
from datetime import UTC, datetime
from functools import partial
from itertools import chain, islice
from typing import Final

from inprocess.supervision.core.names import registered, whereis
from inprocess.supervision.core.process import Process
from inprocess.supervision.core.thread_bridge import hop
from inprocess.supervision.introspection.snapshot import Node, Snapshot
from inprocess.supervision.leases.leased import Leased
from inprocess.supervision.periodic.timer_process import Ticker
from inprocess.supervision.servers.gen_server import GenServer
from inprocess.supervision.servers.mailbox import STARTING
from inprocess.supervision.servers.server_report import shown, state_of
from inprocess.supervision.supervisors.base import Parent
from inprocess.supervision.supervisors.dynamic_supervisor import DynamicSupervisor
from inprocess.supervision.supervisors.ordered_children import Ordered
from inprocess.supervision.tasks import task
from inprocess.supervision.tasks.child import Child
from inprocess.supervision.tasks.task_supervisor import TaskSupervisor

#: Children of one process that are shown; the rest is counted.
MAX_CHILDREN: Final = 100


def snapshot(*roots: Process | str, max_children: int = MAX_CHILDREN, attributes: bool = False) -> Snapshot:
    """Look at these processes, or names, and all below them. Any thread.

    Without roots: every named process that has no supervisor, and the unlinked tasks of
    `Task.start`. `attributes` adds what the servers keep in their attributes, after their
    `format_status`. Raise LookupError for a name that no process has.
    """
    look = partial(_look, max_children=max_children, attributes=attributes)
    looked = tuple(_there(process, look) for process in (map(_named, roots) if roots else _roots()))
    return Snapshot(_iso(time.time()), looked)


def _named(root: Process | str) -> Process:
    if isinstance(root, Process):
        return root
    found = whereis(root)
    if found is None:
        raise LookupError(f"no process is named {root!r}: it has ended, is being restarted, or never was")
    assert isinstance(found, Process)  # noqa: S101 - what has a name
    return found


def _roots() -> list[Process]:
    named = [process for process in registered().values() if getattr(process, "parent", None) is None]
    unlinked = [held for held in list(task._unlinked.values()) if held.count]  # noqa: SLF001 - of one package
    return list(dict.fromkeys([*named, *unlinked]))


def _there(process: Process, look: partial[Node]) -> Node:
    if process.is_here:
        return look(process.name, process)
    try:
        return hop(process.loop, partial(look, process.name, process))
    except (TimeoutError, RuntimeError) as error:
        return Node(process.name, type(process).__name__, process.name, "no answer", about=str(error))


def _look(node_id: str, seen: object, *, max_children: int, attributes: bool) -> Node:
    if isinstance(seen, Child):
        return Node(node_id, "task", seen.name, seen.state, attempt=seen.attempt, about=seen.describe())
    if not isinstance(seen, Process):  # a place in a supervisor: "restarting", or None
        return Node(node_id, "process", node_id, "stopped" if seen is None else str(seen))
    below, child_count = _below(seen, max_children)
    look = partial(_look, max_children=max_children, attributes=attributes)
    return Node(
        node_id,
        type(seen).__name__,
        seen.name,
        _state(seen),
        uptime_s=_uptime(seen),
        mailbox_depth=seen.mailbox_depth if isinstance(seen, GenServer) else None,
        restarts=seen.restarts if isinstance(seen, Parent | TaskSupervisor) else None,
        last_run_at=_moment(getattr(seen, "last_run_at", None)),
        counts=dataclasses.asdict(seen.counts) if isinstance(seen, Ticker) else None,
        about=_attributes(seen) if attributes and isinstance(seen, GenServer) else None,
        children=tuple(look(child_id, child) for child_id, child in below),
        child_count=child_count,
    )


def _below(process: Process, limit: int) -> tuple[list[tuple[str, object]], int]:
    """Ids and children of whatever kind, `limit` at most, the oldest first; and how many there are.

    Where there may be a million, only those that are shown are gone through.
    """
    if isinstance(process, TaskSupervisor):
        held = chain(process._children, process._line)  # noqa: SLF001 - of one package
        living = (child for child in held if child.exit is None)
        return [(child.name, child) for child in islice(living, limit)], process.count
    if isinstance(process, DynamicSupervisor):
        return list(islice(process._shown(), limit)), process.count  # noqa: SLF001 - of one package
    if isinstance(process, Ordered):
        children = process.which_children()
        return list(islice(children, limit)), len(children)
    inner = process.process if isinstance(process, Leased) else None
    return ([], 0) if inner is None else ([(inner.name, inner)], 1)


def _state(process: Process) -> str:
    if process.exit is not None:
        return f"ended: {process.exit}"
    if isinstance(process, Parent | TaskSupervisor) and process._stopping:  # noqa: SLF001 - of one package
        return "stopping"
    if isinstance(process, Parent) and not process._is_ready:  # noqa: SLF001 - of one package
        return "starting"
    if isinstance(process, GenServer):
        return _server_state(process)
    return "waiting" if isinstance(process, Leased) and not process.is_holder else "running"


def _server_state(server: GenServer) -> str:
    if server._wanted is not None:  # noqa: SLF001 - of one package
        return "stopping"
    if server._state == STARTING:  # noqa: SLF001 - of one package
        return "starting"
    return "suspended" if server.extra is not None and server.extra.suspended else "running"


def _uptime(process: Process) -> float | None:
    started_at: float | None = getattr(process, "started_at", None)
    return None if started_at is None else process.scheduler.monotonic() - started_at


def _attributes(server: GenServer) -> str:
    return shown(server, state=state_of(server)).get("state", "")


def _moment(value: object) -> str | None:
    """A moment that a server keeps, as seconds since 1970 or as a datetime; None for anything else."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    return _iso(value) if isinstance(value, float | int) else None


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
