"""The attempts of children that begin in a block, with their functions and arguments."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from inprocess.supervision.core import telemetry
from inprocess.supervision.core.redact import function_name, redact_call

_ids = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Start:
    """One attempt: `attempt` is 1 at first, 2 after one restart."""

    function: Callable[..., object]
    args: tuple[object, ...]
    name: str
    supervisor: str
    attempt: int

    def __str__(self) -> str:
        return f"{redact_call(self.function, self.args)} under {self.supervisor}, attempt {self.attempt}"


class Starts(list[Start]):
    """The attempts in order; created by `record_starts`."""

    def of(self, function: Callable[..., object], *args: object) -> list[Start]:
        """Return those of this function, with exactly these arguments if any are given."""
        return [start for start in self if start.function == function and (not args or start.args == args)]

    def assert_started(
        self, function: Callable[..., object], *args: object, times: int | None = None
    ) -> list[Start]:
        """Fail unless `function(*args)` was started, exactly `times` if given; return its attempts."""
        found = self.of(function, *args)
        if (not found) if times is None else (len(found) != times):
            wanted = "at least one start" if times is None else f"{times} starts"
            call = redact_call(function, args)
            raise AssertionError(f"expected {wanted} of {call}, found {len(found)} in\n{self._listing()}")
        return found

    def assert_not_started(self, function: Callable[..., object], *args: object) -> None:
        """Fail if `function`, with these arguments if any are given, was started."""
        if self.of(function, *args):
            raise AssertionError(f"expected no start of {function_name(function)}, found\n{self._listing()}")

    def _listing(self) -> str:
        return "\n".join(f"  {start}" for start in self) or "  (nothing was started)"


@contextmanager
def record_starts() -> Iterator[Starts]:
    """Record every attempt of a TaskSupervisor's child, and of `Task.start`, that begins in the block.

    A child begins in the loop's next turn after `start_child`: await it, or `settle()`, first. Refused
    children are not recorded.
    """
    starts = Starts()

    def note(_event: telemetry.Event, _numbers: Mapping[str, float], about: Mapping[str, Any]) -> None:
        child = about["child"]
        starts.append(Start(child.function, child.args, child.name, about["supervisor"], child.attempt))

    handler_id = f"inprocess.testing.record_starts {next(_ids)}"
    telemetry.attach(handler_id, [("task", "start")], note)
    try:
        yield starts
    finally:
        telemetry.detach(handler_id)
