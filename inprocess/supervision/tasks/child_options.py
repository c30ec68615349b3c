"""What a child was asked to be: one record for all children that were asked to be the same.

Most children of a supervisor differ in function and arguments alone. They share one of these,
so that a child in a burst of 100,000 costs a few words of memory and no validation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType
from typing import Any, Final, TypedDict, get_args

from inprocess.supervision.core.exits import Restart
from inprocess.supervision.core.process import SHUTDOWN_S, ShutdownLimit
from inprocess.supervision.core.restarts import Backoff, RestartIntensity
from inprocess.supervision.isolation.isolation import Isolation

#: Called with the Child that was given up, and the error of its last attempt.
GiveUpHook = Callable[[Any, BaseException | None], object]


class ChildOptions(TypedDict, total=False):
    """The keyword arguments of `start_child` beside `restart`.

    - `shutdown`: seconds from being told to end to the kill, 5 by default; "brutal_kill" for
      no such time, "infinity" for no end of it.
    - `name`: what logs and reports call it; the function's name by default. Need not be unique.
    - `intensity`: a restart window of its own, beside the one that all children share.
    - `backoff`: how long it waits before a restart; not at all by default.
    - `on_give_up(child, error)`: called once its own window has run out.
    - `isolation`: where it runs, "loop", "thread" or "process"; None, the default, is "loop" for
      an async function and "thread" for a plain one. See `isolation`.
    """

    shutdown: ShutdownLimit
    name: str | None
    intensity: RestartIntensity | None
    backoff: Backoff | None
    on_give_up: GiveUpHook | None
    isolation: Isolation | None


class AsyncOptions(TypedDict, total=False):
    """The keyword arguments of `async_` and its like: `shutdown`, `name`, `isolation` as in ChildOptions."""

    shutdown: ShutdownLimit
    name: str | None
    isolation: Isolation | None


@dataclass(slots=True, eq=False)
class Options:
    """`restart`, and what ChildOptions says. Shared between children, so never changed.

    `asker` is the code that called `Task.start`, and the offset of the call in it.
    """

    restart: Restart
    shutdown: ShutdownLimit = SHUTDOWN_S
    name: str | None = None
    intensity: RestartIntensity | None = None
    backoff: Backoff | None = None
    on_give_up: GiveUpHook | None = None
    isolation: Isolation | None = None
    asker: tuple[CodeType, int] | None = None

    @property
    def asked_for_by(self) -> str | None:
        """Function, file and line of who called `Task.start`; None for a supervisor's children."""
        if self.asker is None:
            return None
        code, offset = self.asker
        line = next((line for start, end, line in code.co_lines() if start <= offset < end), None)
        return f"{code.co_name} at {code.co_filename}:{line or code.co_firstlineno}"


#: Those of children for which nothing but `restart` was given.
PLAIN: Final[dict[str, Options]] = {restart: Options(restart) for restart in get_args(Restart)}

_ISOLATIONS = frozenset((None, *get_args(Isolation)))


def options_of(restart: Restart, given: ChildOptions) -> Options:
    """The record for these keyword arguments; raise ValueError for one that is misspelt."""
    if restart not in PLAIN:
        raise ValueError(f"restart is {restart!r}: expected one of {', '.join(sorted(PLAIN))}")
    if not given:
        return PLAIN[restart]
    isolation, shutdown = given.get("isolation"), given.get("shutdown", SHUTDOWN_S)
    if isolation not in _ISOLATIONS:
        raise ValueError(
            f"isolation is {isolation!r}: expected one of {', '.join(get_args(Isolation))}, or None"
        )
    if shutdown not in {"brutal_kill", "infinity"} and not (
        isinstance(shutdown, float | int) and shutdown >= 0
    ):
        raise ValueError(
            f"shutdown is {shutdown!r}: expected seconds of at least 0, 'brutal_kill' or 'infinity'"
        )
    return Options(restart, **given)
