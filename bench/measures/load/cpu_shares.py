"""Processor time in a window: of the side, the services that it calls, the generator, the harness.

The share of the measuring itself is (generator + harness) over all four; what other programs
used is in `busy_s` alone. Processor times are seconds, summed over a party's processes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

#: Largest part of one core that the generator, or the services, may use: each is one process with one lock,
#: and above that it limits the side.
CORE_SHARE = 0.90
#: A machine with less idle time than this part of its cores is full.
FULL_SHARE = 0.97
#: Least part of a full machine that the side must use; below it something else limits the side.
SIDE_SHARE = 0.50


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuShares:
    """Processor time between two moments; `seconds` is the time between them."""

    seconds: float
    cores: int
    side_s: float
    services_s: float
    generator_s: float
    harness_s: float
    #: Of the whole machine: everything but idle and stolen time.
    busy_s: float
    stolen_s: float

    @property
    def own_s(self) -> float:
        """What the measuring itself took."""
        return self.generator_s + self.harness_s

    @property
    def run_s(self) -> float:
        """What the run took altogether."""
        return self.side_s + self.services_s + self.own_s

    @property
    def own_percent(self) -> float:
        """The measuring's part of what the run took, percent; NaN where nothing was used."""
        return 100 * self.own_s / self.run_s if self.run_s else float("nan")

    @property
    def steal_percent(self) -> float:
        """The part of the machine's time that a hypervisor took away, percent."""
        return 100 * self.stolen_s / (self.cores * self.seconds)


def own_row(block: str, measure: str, side: str, spent: CpuShares) -> dict[str, object]:
    """Return a row of `TABLES["own"]`: what the measuring used in one block."""
    return {
        "block": block,
        "measure": measure,
        "side": side,
        "seconds": spent.seconds,
        "side_s": spent.side_s,
        "services_s": spent.services_s,
        "generator_s": spent.generator_s,
        "harness_s": spent.harness_s,
        "own_percent": spent.own_percent,
        "own_machine_percent": 100 * spent.own_s / (spent.cores * spent.seconds),
    }


def own_part(own: pd.DataFrame) -> dict[str, float]:
    """Over all blocks of `TABLES["own"]`: the measuring's part of what the run and the machine gave, percent.

    The first leaves out blocks of which the side's use is not known: a part of it ran elsewhere.
    """
    own_s = own["generator_s"] + own["harness_s"]
    run_s = own_s + own["side_s"] + own["services_s"]
    machine_s = 100 * own_s / own["own_machine_percent"]
    return {
        "own_percent": _percent(own_s[run_s.notna()].sum(), run_s.sum()),
        "own_machine_percent": _percent(own_s[machine_s.notna()].sum(), machine_s.sum()),
    }


def own_line(part: Mapping[str, float | None]) -> str:
    """Return `own_part` in words; empty where nothing was measured."""
    percent, machine = part.get("own_percent"), part.get("own_machine_percent")
    if percent is None or machine is None:
        return ""
    return (
        f"the harness itself took {percent:.1f} % of the processor time that the run's processes used, "
        f"{machine:.1f} % of the machine's"
    )


def _percent(part: float, whole: float) -> float:
    return 100 * part / whole if whole else math.nan


def bottleneck(spent: CpuShares) -> str:
    """What limited the side, other than itself, in words; empty where nothing did."""
    core_s = CORE_SHARE * spent.seconds
    full = spent.busy_s > FULL_SHARE * (spent.cores * spent.seconds - spent.stolen_s)
    of_side = spent.side_s / spent.busy_s if spent.busy_s else 1.0
    broken = [
        (spent.generator_s > core_s, f"the generator used {spent.generator_s / spent.seconds:.0%} of a core"),
        (spent.services_s > core_s, f"the services used {spent.services_s / spent.seconds:.0%} of a core"),
        (
            full and of_side < SIDE_SHARE,
            f"the machine was full and the side had {of_side:.0%} of it",
        ),
    ]
    return "; ".join(text for is_broken, text in broken if is_broken)
