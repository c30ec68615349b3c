"""The t-interval and the t-test of a ratio, from logarithms of ratios or of values.

The intervals and p-values are those of SciPy's `ttest_1samp` and `ttest_ind`. Those warn of lost precision
where all blocks are equal but for rounding; here such blocks have an interval of no width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

#: How often an interval made like this covers the truth.
CONFIDENCE = 0.95

_Floats = Sequence[float] | npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio with its interval and the two-sided p-value of 1. From one block: 0 to inf, and NaN."""

    ratio: float
    low: float
    high: float
    p: float

    @property
    def width(self) -> float:
        """How many times the lower end the upper end is."""
        return self.high / self.low if self.low > 0 else math.inf


#: Where no ratio can be drawn.
NO_INTERVAL = Ratio(math.nan, math.nan, math.nan, math.nan)


def paired(log_ratios: _Floats) -> Ratio:
    """Return the t-interval of the mean of paired log ratios, shape (pairs,), as a ratio."""
    values = np.asarray(log_ratios, dtype=np.float64)
    sem = _sem(values)
    return _ratio(float(values.mean()), sem, values.size - 1)


def unpaired(log_side: _Floats, log_baseline: _Floats) -> Ratio:
    """Return Welch's t-interval of mean(log_side) - mean(log_baseline), as a ratio; shapes (n,) and (m,)."""
    side, baseline = np.asarray(log_side), np.asarray(log_baseline)
    parts = (_sem(side) ** 2, _sem(baseline) ** 2)
    sem = math.sqrt(sum(parts))
    if sem == 0 or not math.isfinite(sem):
        freedom = float(side.size + baseline.size - 2)
    else:  # Welch-Satterthwaite
        freedom = sem**4 / (parts[0] ** 2 / (side.size - 1) + parts[1] ** 2 / (baseline.size - 1))
    return _ratio(float(side.mean() - baseline.mean()), sem, freedom)


def _sem(values: npt.NDArray[np.float64]) -> float:
    return float(values.std(ddof=1) / math.sqrt(values.size)) if values.size > 1 else math.inf


def _ratio(mean: float, sem: float, freedom: float) -> Ratio:
    if math.isinf(sem):
        return Ratio(math.exp(mean), 0.0, math.inf, math.nan)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * sem
    p = 2 * float(stats.t.sf(abs(mean) / sem, freedom)) if sem else float(mean == 0)
    return Ratio(math.exp(mean), math.exp(mean - half), math.exp(mean + half), p)
