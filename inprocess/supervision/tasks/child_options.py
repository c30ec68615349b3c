"""Options of a child: one record, shared by all children with the same options.

Most children of a supervisor differ only in function and arguments. Sharing the record saves memory and
validation: a child in a burst of 100,000 takes a few words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from types import CodeType
from typing import Any, Final, TypedDict, get_args

from inprocess.supervision.core.exits import Restart
from inprocess.supervision.core.process import LIMITS, SHUTDOWN_S, ShutdownLimit, is_limit
from inprocess.supervision.core.restarts import Backoff, RestartIntensity
from inprocess.supervision.isolation.isolation import Isolation, check_processes

#: Called with the Child that was given up, and the error of its last attempt.
GiveUpHook = Callable[[Any, BaseException | None], object]


class ChildOptions(TypedDict, total=False):
    """The keyword arguments of `start_child`, except `restart`.

    - `shutdown`: seconds from the request to end to the kill, 5 by default; "brutal_kill" for no request,
      "infinity" for no kill.
    - `name`: for logs and reports; by default the function's name. Need not be unique.
    - `intensity`: a restart window of its own, instead of the one that children share.
    - `backoff`: the delay before a restart; none by default. Without `intensity` it brings a window of its
      own too: RESTARTS_IN_A_ROW, where an attempt that lived longer than its `max_s` begins a new row.
    - `on_give_up(child, error)`: called when its own window is exceeded.
    - `isolation`: where it runs, "loop", "thread" or "process". None, the default, is "loop" for an
      async function and "thread" for a plain one. See `isolation`.
    """

    shutdown: ShutdownLimit
    name: str | None
    intensity: RestartIntensity | None
    backoff: Backoff | None
    on_give_up: GiveUpHook | None
    isolation: Isolation | None


class AsyncOptions(TypedDict, total=False):
    """The keyword arguments of `async_` and its variants, see ChildOptions."""

    shutdown: ShutdownLimit
    name: str | None
    isolation: Isolation | None


@dataclass(slots=True, eq=False)
class Options:
    """`restart` and the ChildOptions. Shared between children, so never modified.

    `asker` is the code object that called `Task.start`, and the offset of the call in it.
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
        """Function, file and line that called `Task.start`; None for a supervisor's children."""
        if self.asker is None:
            return None
        code, offset = self.asker
        line = next((line for start, end, line in code.co_lines() if start <= offset < end), None)
        return f"{code.co_name} at {code.co_filename}:{line or code.co_firstlineno}"


#: Restarts in a row of a child with a back-off and no intensity, before it is given up: with the default
#: back-off a quarter of an hour.
RESTARTS_IN_A_ROW: Final = 20

#: The options of children with no other option than `restart`.
PLAIN: Final[dict[str, Options]] = {restart: Options(restart) for restart in get_args(Restart)}

_NAMES = frozenset(ChildOptions.__annotations__)
_ISOLATIONS = frozenset((None, *get_args(Isolation)))


def options_of(restart: Restart, given: ChildOptions) -> Options:
    """Return the record for these keyword arguments.

    Raise ValueError for an unknown value, TypeError for an unknown option, and RuntimeError if the app can
    have no worker processes.
    """
    if not given.keys() <= _NAMES:
        raise TypeError(_unknown(next(name for name in given if name not in _NAMES)))
    if restart not in PLAIN:
        raise ValueError(f"restart is {restart!r}: expected one of {', '.join(sorted(PLAIN))}")
    if not given:
        return PLAIN[restart]
    isolation, shutdown = given.get("isolation"), given.get("shutdown", SHUTDOWN_S)
    if isolation not in _ISOLATIONS:
        raise ValueError(
            f"isolation is {isolation!r}: expected one of {', '.join(get_args(Isolation))}, or None"
        )
    if isolation == "process":
        check_processes()
    if not is_limit(shutdown):
        raise ValueError(f"shutdown is {shutdown!r}: {LIMITS}")
    return Options(restart, **given)


def _unknown(option: str) -> str:
    near = get_close_matches(option, ["restart", *_NAMES], 1)
    meant = f"did you mean {near[0]!r}? " if near else ""
    return (
        f"there is no option {option!r}: {meant}"
        f"Keyword arguments of the function go with it: functools.partial(function, {option}=...)"
    )
