"""Which children a strategy cycles, and when the end of a significant child ends all. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeVar

from inprocess.supervision.supervisors.child_spec import AutoShutdown, ChildSpec

Strategy = Literal["one_for_one", "one_for_all", "rest_for_one"]

Entry = TypeVar("Entry")


def affected(strategy: Strategy, children: Mapping[str, Entry], child_id: str) -> Sequence[Entry]:
    """The children to stop (in reverse) and start (in order) where the one of this id is restarted.

    one_for_one: that one. one_for_all: all. rest_for_one: that one and those started after it.
    """
    if strategy == "one_for_one":
        return [children[child_id]]
    everyone = list(children.values())
    return everyone if strategy == "one_for_all" else everyone[list(children).index(child_id) :]


def ends_supervisor(auto_shutdown: AutoShutdown, ended: ChildSpec, running: Iterable[ChildSpec]) -> bool:
    """Whether the supervisor ends, now that a child ended by itself and will not be restarted.

    `running` are the specs of the others that run or are being restarted.
    """
    if not ended.significant or auto_shutdown == "never":
        return False
    return auto_shutdown == "any_significant" or not any(spec.significant for spec in running)
