"""Bounds: how many children a TaskSupervisor takes, how many run at once, and how many may wait for that."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from inprocess.supervision.core.errors import Refused
from inprocess.supervision.core.restarts import check_max_children


@dataclass(frozen=True, slots=True)
class Bounds:
    """`max_children`, `max_running` and `queue` of `TaskSupervisor.start`; math.inf stands for no bound.

    Raise ValueError, which names the option, for one that is out of range.
    """

    max_children: float = inf
    #: Attempts that run at once.
    max_running: float = inf
    #: Children that wait to run, those that back off included.
    queue: float = inf

    def __post_init__(self) -> None:
        check_max_children(self.max_children)
        for name, bound, least in (("max_running", self.max_running, 1), ("queue", self.queue, 0)):
            if bound != inf and not (isinstance(bound, int) and bound >= least):
                raise ValueError(
                    f"{name} is {bound!r}: expected a whole number of at least {least}, or math.inf for none"
                )
        if self.queue != inf and self.max_running == inf:
            raise ValueError(
                "queue without max_running: nothing ever waits; give max_running= too, or use max_children="
            )

    @property
    def are_none(self) -> bool:
        """Whether nothing is bounded."""
        return self.max_children == self.max_running == inf

    def refusal(self, name: str, count: int) -> Refused | None:
        """Return the refusal of another child to the supervisor `name`, which has `count`; None for none."""
        if count >= self.max_children:
            text = f"{name} has {count} children, its max_children: try again later, or raise the bound"
            return Refused("max_children", text)
        if count >= self.max_running + self.queue:
            text = (
                f"{name} runs at most {self.max_running} children at once and its queue of {self.queue} is "
                "full: try again later, or raise queue= or max_running="
            )
            return Refused("queue_full", text)
        return None
