"""The step that a disturbance left in the phase of a periodic job: repaid or permanent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

#: Ticks on each side of the disturbance whose medians are compared.
STEP_TICKS = 5
#: A step is repaid if it is under this many ms …
REPAID_MS = 50.0
#: … within this many ticks.
REPAID_WITHIN = 10


@dataclass(frozen=True, slots=True)
class PhaseStep:
    """The step in ms, and whether it was repaid; NaN and unknown from fewer than five ticks on a side."""

    step_ms: float
    kind: Literal["repaid", "permanent", "unknown"]


def phase_step(start_ns: Sequence[int], phase_ms: Sequence[float], at_ns: int) -> PhaseStep:
    """The median unwrapped phase of the 5 ticks after `at_ns` minus that of the 5 before.

    `start_ns` (ascending) and `phase_ms` are those of the runs, shape (n,). It is repaid if the
    median of any five ticks in a row among the ten after it is within 50 ms of what it was.
    """
    after_from = int(np.searchsorted(np.asarray(start_ns), at_ns))
    phases = np.asarray(phase_ms, dtype=np.float64)
    before, after = phases[:after_from][-STEP_TICKS:], phases[after_from:][:REPAID_WITHIN]
    if min(before.size, after.size) < STEP_TICKS:
        return PhaseStep(math.nan, "unknown")
    steps = _medians(after) - np.median(before)
    return PhaseStep(float(steps[0]), "repaid" if (np.abs(steps) < REPAID_MS).any() else "permanent")


def _medians(phases: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    windows = np.lib.stride_tricks.sliding_window_view(phases, STEP_TICKS)
    return np.asarray(np.median(windows, axis=1), dtype=np.float64)
