"""Snapshot: the processes of a tree as plain data that can be printed, searched and made into JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Node:
    """One process, or one child of a TaskSupervisor. None for what its kind does not have."""

    #: Its id in its supervisor; of a task the number `Child.id`; of a root its name.
    id: str
    #: Its class, or "task".
    kind: str
    #: The name that it is registered or reported under.
    name: str
    #: running, starting, stopping, suspended, restarting, stopped (kept by its supervisor, not running),
    #: ended or no answer; of a task waiting, running, backing off or abandoned; of a Leased waiting
    #: while another replica has the lease.
    state: str
    #: Seconds since it started; of a task, since its first attempt began.
    uptime_s: float | None = None
    #: Number of messages that wait.
    mailbox_depth: int | None = None
    #: Number of automatic restarts by it since its start.
    restarts: int | None = None
    #: Number of the current attempt, from 1.
    attempt: int | None = None
    #: When it last ran, by the wall clock.
    last_run_at: str | None = None
    #: Number of its ticks by outcome; of a TaskSupervisor, of its children: started, done, failed (without a
    #: restart), given up by a window of their own, refused; and waiting to run now.
    counts: dict[str, int] | None = None
    #: The call of a task, or the attributes of a server if requested; secrets hidden.
    about: str | None = None
    #: Its children in the order of their start, as many as requested.
    children: tuple[Node, ...] = ()
    #: Number of its children, including those not shown.
    child_count: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The result of `observer.snapshot`. Iterates over the nodes, parents before children."""

    #: By the wall clock, in UTC.
    taken_at: str
    roots: tuple[Node, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return dictionaries, lists, strings and numbers, for `json.dumps`, without None."""
        return {"taken_at": self.taken_at, "roots": [_plain(root) for root in self.roots]}

    def find(self, node_id: str) -> Node | None:
        """Return the first node with this id or name, from the top."""
        return next((node for node in self if node_id in {node.id, node.name}), None)

    def __iter__(self) -> Iterator[Node]:
        waiting = list(reversed(self.roots))
        while waiting:
            node = waiting.pop()
            yield node
            waiting += reversed(node.children)

    def __str__(self) -> str:
        """Return a tree of text, one line a node."""
        return "\n".join(line for root in self.roots for line in _lines(root, "", "")) or "(no process runs)"


def _plain(node: Node) -> dict[str, Any]:
    """Return the node as a dictionary, without None."""
    fields = {field.name: getattr(node, field.name) for field in dataclasses.fields(node)}
    fields["children"] = [_plain(child) for child in node.children]
    return {name: value for name, value in fields.items() if value is not None}


def _lines(node: Node, first: str, rest: str) -> Iterable[str]:
    yield f"{first}{_line(node)}"
    hidden = node.child_count - len(node.children)
    for k, child in enumerate(node.children, start=1):
        is_last = k == len(node.children) and not hidden
        yield from _lines(
            child, rest + ("└── " if is_last else "├── "), rest + ("    " if is_last else "│   ")
        )
    if hidden:
        yield f"{rest}└── and {hidden} more"


def _line(node: Node) -> str:
    parts = [node.id if node.id == node.name else f"{node.id} ({node.name})", node.kind, node.state]
    numbers = {
        "up": None if node.uptime_s is None else f"{node.uptime_s:.1f} s",
        "mailbox": node.mailbox_depth or None,
        "restarts": node.restarts or None,
        "attempt": None if node.attempt == 1 else node.attempt,
        "last run": node.last_run_at,
    }
    parts += [f"{name} {value}" for name, value in numbers.items() if value is not None]
    parts += [f"{name} {count}" for name, count in (node.counts or {}).items() if count]
    return "  ".join([*parts, *([node.about] if node.about else [])])
