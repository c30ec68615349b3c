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

Like Erlang's observer, without the window. From another thread it waits for the loop's next turn and
takes one turn: about 20 µs a node. A loop that does not answer is no error: its processes are shown
as "no answer". Durations are in seconds, times in ISO 8601.
"""

from __future__ import annotations

import dataclasses
import time
from datetime import UTC, datetime
from functools import partial
from itertools import chain, islice
from typing import Final

from inprocess.supervision.core.names import registered, whereis
from inprocess.supervision.core.process import BaseProcess, Process
from inprocess.supervision.core.thread_bridge import look
from inprocess.supervision.introspection.snapshot import Node, Snapshot
from inprocess.supervision.leases.leased import Leased
from inprocess.supervision.periodic.timer_process import TimerProcess
from inprocess.supervision.servers.message_loop import MessageLoop
from inprocess.supervision.servers.server_report import redacted, state_of
from inprocess.supervision.supervisors.base import BaseSupervisor
from inprocess.supervision.supervisors.dynamic_supervisor import DynamicSupervisor
from inprocess.supervision.supervisors.ordered_children import OrderedSupervisor
from inprocess.supervision.tasks import task
from inprocess.supervision.tasks.child import Child
from inprocess.supervision.tasks.task_supervisor import TaskSupervisor

#: Children of one process that are shown; the others are only counted.
MAX_CHILDREN: Final = 100
#: Levels of one tree that are shown; the children below are only counted.
MAX_LEVELS: Final = 100


def snapshot(*roots: Process | str, max_children: int = MAX_CHILDREN, attributes: bool = False) -> Snapshot:
    """Return a snapshot of these processes, or names, and of all below them. Any thread.

    Without roots: of every named process without a supervisor, and of the tasks of `Task.start`.
    `attributes` adds the servers' attributes, after their `format_status`. Raise LookupError for a name
    that no process has.
    """
    node = partial(_node, max_children=max_children, attributes=attributes)
    nodes = tuple(_there(process, node) for process in (map(_named, roots) if roots else _roots()))
    return Snapshot(_iso(time.time()), nodes)


def _named(root: Process | str) -> BaseProcess:
    if isinstance(root, Process):
        return root.__process__
    found = whereis(root)
    if found is None:
        raise LookupError(f"no process is named {root!r}: it has ended, is being restarted, or never was")
    assert isinstance(found, Process)  # noqa: S101 - what has a name
    return found.__process__


def _roots() -> list[BaseProcess]:
    processes: list[BaseProcess] = [handle.__process__ for handle in registered().values()]
    named = [process for process in processes if getattr(process, "parent", None) is None]
    unlinked = [held for held in list(task._unlinked.values()) if held.count]  # noqa: SLF001 - of one package
    return list(dict.fromkeys([*named, *unlinked]))


def _there(process: BaseProcess, node: partial[Node]) -> Node:
    try:
        return look(process.loop, partial(node, process.name, process))
    except (TimeoutError, RuntimeError) as error:
        return Node(process.name, type(process.handle).__name__, process.name, "no answer", about=str(error))


def _node(
    node_id: str, seen: object, *, max_children: int, attributes: bool, levels: int = MAX_LEVELS
) -> Node:
    if isinstance(seen, Child):
        return Node(
            node_id, "task", seen.name, seen.state, uptime_s=seen.age, attempt=seen.attempt,
            about=seen.describe(),
        )  # fmt: skip
    if not isinstance(seen, Process):  # a place in a supervisor: "restarting", or None
        return Node(node_id, "process", node_id, "stopped" if seen is None else str(seen))
    process = seen.__process__
    below, child_count = _below(process, max_children)
    node = partial(_node, max_children=max_children, attributes=attributes, levels=levels - 1)
    return Node(
        node_id,
        type(process.handle).__name__,
        process.name,
        _state(process),
        uptime_s=_uptime(process),
        mailbox_depth=process.mailbox_depth if isinstance(process, MessageLoop) else None,
        restarts=process.restarts if isinstance(process, BaseSupervisor | TaskSupervisor) else None,
        last_run_at=_moment(getattr(process.handle, "last_run_at", None)),
        counts=_counts(process),
        about=_attributes(process) if attributes and isinstance(process, MessageLoop) else None,
        children=tuple(node(child_id, child) for child_id, child in below) if levels > 1 else (),
        child_count=child_count,
    )


def _below(process: BaseProcess, limit: int) -> tuple[list[tuple[str, object]], int]:
    """Return ids and children, oldest first, at most `limit`; and the number of children.

    There may be a million: only the ones that are shown are iterated over.
    """
    if isinstance(process, TaskSupervisor):
        held = chain(process._children, process._line)  # noqa: SLF001 - of one package
        living = (child for child in held if child.exit is None)
        return [(str(child.id), child) for child in islice(living, limit)], process.count
    if isinstance(process, DynamicSupervisor):
        return list(islice(process._shown(), limit)), process.count  # noqa: SLF001 - of one package
    if isinstance(process, OrderedSupervisor):
        children = process.which_children()
        return list(islice(children, limit)), len(children)
    inner = process.process if isinstance(process, Leased) else None
    return ([], 0) if inner is None else ([(inner.__process__.name, inner)], 1)


def _state(process: BaseProcess) -> str:
    if process.exit is not None:
        return f"ended: {process.exit}"
    if isinstance(process, BaseSupervisor | TaskSupervisor) and process._stopping:  # noqa: SLF001 - of one package
        return "stopping"
    if isinstance(process, BaseSupervisor | TaskSupervisor) and process.is_suspended:
        return "suspended"
    if isinstance(process, BaseSupervisor) and not process._is_ready:  # noqa: SLF001 - of one package
        return "starting"
    if isinstance(process, MessageLoop):
        return process.condition
    return "waiting" if isinstance(process, Leased) and not process.is_holder else "running"


def _uptime(process: BaseProcess) -> float | None:
    started_at: float | None = getattr(process, "started_at", None)
    return None if started_at is None else process.scheduler.monotonic() - started_at


def _attributes(process: MessageLoop) -> str:
    return redacted(process, state=state_of(process.server)).get("state", "")


def _counts(process: BaseProcess) -> dict[str, int] | None:
    if isinstance(process, TaskSupervisor):
        return process.counts
    return dataclasses.asdict(process.counts) if isinstance(process, TimerProcess) else None


def _moment(value: object) -> str | None:
    """Format a time, given in seconds since 1970 or as a datetime; None for anything else."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    return _iso(value) if isinstance(value, float | int) else None


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
