"""Quantiles for figures that pool jobs: with infinities, and only from enough samples (docs/method.md)."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from bench.schema import MINIMUM_SAMPLES


def printable(n: int) -> tuple[float, ...]:
    """The quantiles that n samples are enough for, ascending."""
    return tuple(q for q, minimum in MINIMUM_SAMPLES.items() if n >= minimum)


def quantile(ordered: npt.NDArray[np.float64], q: float) -> float:
    """The q-quantile of ascending values (shape (n,), n > 0); `inf` if it falls on an unfinished job."""
    return float(ordered[math.ceil(q * (len(ordered) - 1))])
