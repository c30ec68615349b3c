"""Pure rules of a supervisor: which children a restart affects, and when a child's end ends all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeVar

from inprocess.supervision.supervisors.child_spec import AutoShutdown, ChildSpec

Strategy = Literal["one_for_one", "one_for_all", "rest_for_one"]

Entry = TypeVar("Entry")


def affected(strategy: Strategy, children: Mapping[str, Entry], child_id: str) -> Sequence[Entry]:
    """Return the children to stop (in reverse) and start (in order) when this child is restarted.

    one_for_one: that child. one_for_all: all. rest_for_one: that child and those started after it.
    """
    if strategy == "one_for_one":
        return [children[child_id]]
    everyone = list(children.values())
    return everyone if strategy == "one_for_all" else everyone[list(children).index(child_id) :]


def ends_supervisor(auto_shutdown: AutoShutdown, ended: ChildSpec, running: Iterable[ChildSpec]) -> bool:
    """Whether the supervisor ends after a child has ended by itself and will not be restarted.

    `running` are the specs of the other children that run or restart.
    """
    if not ended.significant or auto_shutdown == "never":
        return False
    return auto_shutdown == "any_significant" or not any(spec.significant for spec in running)
