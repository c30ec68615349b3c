"""What a fault did to the periodic sync: the checker hook of the faults that aim at it. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.faults.spec import CheckInput
from bench.measures.events.block import NS_PER_S, Block
from bench.measures.periodic import drift
from bench.measures.periodic.phase_step import PhaseStep, phase_step

#: The sync's interval.
INTERVAL_NS = NS_PER_S
#: Columns of `drift.csv` that are counts, summed over the owners.
COUNTS = ("ticks_due", "missed", "duplicates", "overlaps", "bursts")


def ticks(block: CheckInput) -> Mapping[str, Any]:
    """Counts over all owners, the oldest balance (ms), the largest phase step of an owner (ms) and its kind.

    The window is from the start of the load to the end of the drain; a step is NaN where fewer than
    five ticks lie on a side of the fault.
    """
    window = Block(block="", side="", repetition=0, start_ns=block.start_ns, end_ns=block.drained_ns)
    runs, owners = drift.drift_frames(
        block.events, window, policy="", interval_ns=INTERVAL_NS, owners=block.owners
    )
    counts = {name: int(owners[name].sum()) for name in COUNTS}
    steps = [
        step for _, own in runs.groupby("owner") if math.isfinite((step := _step(own, block.on_ns)).step_ms)
    ]
    largest = max(steps, key=lambda step: abs(step.step_ms), default=PhaseStep(math.nan, "unknown"))
    return {
        **block.facts,
        **counts,
        "age_max_ms": float(owners["age_max_ms"].max()),
        "step_ms": largest.step_ms,
        "step": largest.kind,
    }


def _step(runs: pd.DataFrame, at_ns: int) -> PhaseStep:
    own = runs.dropna(subset=["start_ns", "phase_ms"]).sort_values("start_ns")
    return phase_step(own["start_ns"].tolist(), own["phase_ms"].tolist(), at_ns)
