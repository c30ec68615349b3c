"""Quantiles that keep infinities and are given from enough samples only.

A job that was not finished by the drain limit counts as `inf`. A quantile that lands on it, or
between it and a finished one, is `inf` ("> limit" to a person), never NaN and never dropped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from bench.schema import MINIMUM_SAMPLES


def printable(n: int) -> tuple[float, ...]:
    """Return the quantiles that n samples are enough for, ascending."""
    return tuple(q for q, minimum in MINIMUM_SAMPLES.items() if n >= minimum)


def quantile(values: Iterable[float], q: float) -> float:
    """The q-quantile of values (shape (n,)), linear between neighbours.

    Raise ValueError where there is no value or one is NaN.
    """
    array = _array(values)
    if array.size == 0 or np.isnan(array).any():
        raise ValueError(
            f"a quantile needs numbers; got {array.size} values, {np.isnan(array).sum()} of them NaN"
        )
    above = float(np.quantile(array, q, method="higher"))
    if math.isinf(above):
        return above
    finite = np.minimum(array, array[np.isfinite(array)].max())  # inf beyond it has no say; times 0 it is NaN
    return float(np.quantile(finite, q))


def quantiles(values: Iterable[float], *, samples: int | None = None) -> dict[float, float]:
    """Return each quantile of values (shape (n,)) that there are samples enough for.

    `samples` is the number of independent samples where that is not n, as with two jobs of one request.
    """
    array = _array(values)
    return {q: quantile(array, q) for q in printable(array.size if samples is None else samples)}


def _array(values: Iterable[float]) -> npt.NDArray[np.float64]:
    return np.fromiter(values, dtype=np.float64)
