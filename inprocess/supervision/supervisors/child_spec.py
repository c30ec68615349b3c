"""Child specs: how a supervisor starts, restarts and stops a child."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, cast, get_args

from inprocess.supervision.core.exits import Restart
from inprocess.supervision.core.process import LIMITS, Process, ShutdownLimit, is_limit

ChildType = Literal["worker", "supervisor"]
AutoShutdown = Literal["never", "any_significant", "all_significant"]

_RESTARTS = frozenset(get_args(Restart))
_TYPES = frozenset(get_args(ChildType))


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How to start, restart and stop one child. Raise ValueError for values that do not fit.

    - `id`: unique within the supervisor.
    - `start`: creates and starts a new process each time it is called. If there is nothing to run, it
      returns None, or it or the process's init raises Ignore.
    - `restart`: permanent, transient or temporary, see `exits`.
    - `shutdown`: seconds from the request to end to the kill; "brutal_kill" for no request, "infinity"
      for no kill. None is the process's own limit: 5 s for a worker, infinity for a supervisor.
    - `significant`: its own end may end the supervisor, see `auto_shutdown` there.
    - `type`: only for `count_children`. Unlike OTP's, it does not affect how the child is stopped.
    """

    id: str
    start: Callable[..., Process | None]
    restart: Restart = "permanent"
    shutdown: ShutdownLimit | None = None
    significant: bool = False
    type: ChildType = "worker"

    def __post_init__(self) -> None:
        if self.restart not in _RESTARTS:
            raise ValueError(f"child {self.id!r}: restart is {self.restart!r}, expected one of {_RESTARTS}")
        if self.type not in _TYPES:
            raise ValueError(f"child {self.id!r}: type is {self.type!r}, expected one of {_TYPES}")
        if self.shutdown is not None and not is_limit(self.shutdown):
            raise ValueError(f"child {self.id!r}: shutdown is {self.shutdown!r}, {LIMITS}, or None")
        if self.significant and self.restart == "permanent":
            raise ValueError(
                f"child {self.id!r} is significant and permanent: it is always restarted, so its end "
                "never ends the supervisor. Make it transient or temporary"
            )


#: What stands for a child: its spec, a class, or a class with the arguments of its `start`.
ChildLike = ChildSpec | type[Any] | tuple[Any, ...]


def spec_of(child: ChildLike) -> ChildSpec:
    """Return the spec of a child that is given as a class, or as `(class, *arguments)`. As Elixir's.

    It is what the class's own `child_spec(*arguments)` returns, if it has one; else its id is the name of the
    class, and the rest is as by default: `ChildSpec(cls.__name__, partial(cls.start, *arguments))`. Raise
    TypeError for anything else.
    """
    if isinstance(child, ChildSpec):
        return child
    kind, *arguments = child if isinstance(child, tuple) and child else (child,)
    make = getattr(kind, "child_spec", None)
    if callable(make):
        return cast("ChildSpec", make(*arguments))
    start = getattr(kind, "start", None)
    if not isinstance(kind, type) or not callable(start):
        raise TypeError(
            f"the child is {child!r}: expected a ChildSpec, a class with a `start`, or (class, *arguments)"
        )
    return ChildSpec(kind.__name__, partial(start, *arguments) if arguments else start)


@dataclass(frozen=True, slots=True)
class ChildCounts:
    """The result of `count_children`: number of specs, of running children, and of children by type."""

    specs: int
    active: int
    supervisors: int
    workers: int


def check_significance(specs: Iterable[ChildSpec], auto_shutdown: AutoShutdown) -> None:
    """Raise ValueError for a significant child in a supervisor with auto_shutdown never."""
    for spec in specs:
        if spec.significant and auto_shutdown == "never":
            raise ValueError(
                f"child {spec.id!r} is significant, but its supervisor has auto_shutdown='never': "
                "give the supervisor any_significant or all_significant"
            )


def check_ids(specs: Iterable[ChildSpec]) -> None:
    """Raise ValueError if two specs have the same id."""
    seen: set[str] = set()
    for spec in specs:
        if spec.id in seen:
            raise ValueError(f"two children have the id {spec.id!r}: ids must be unique")
        seen.add(spec.id)
