"""Quantiles, t-intervals of ratios and Holm's correction, from their definitions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev

from scipy.stats import t as student

#: Fewest requests from which a quantile is told.
MINIMUM = {0.5: 6, 0.9: 36, 0.95: 72, 0.99: 368, 0.999: 3688}


def quantile(values: Sequence[float], q: float) -> float:
    """Linear between neighbours; infinity where it lies on or next to an unfinished job."""
    ordered = sorted(values)
    place = q * (len(ordered) - 1)
    below, above = ordered[math.floor(place)], ordered[math.ceil(place)]
    return above if math.isinf(above) else below + (above - below) * (place - math.floor(place))


def ratio(baseline: Sequence[float], side: Sequence[float]) -> dict[str, float]:
    """Side over baseline from paired blocks: the ratio, its 95 % interval, and the p-value of 1."""
    unfinished = [sum(map(math.isinf, values)) for values in (baseline, side)]
    if any(unfinished):
        whole = {(0, len(side)): math.inf, (len(baseline), 0): 0.0}.get(
            (unfinished[0], unfinished[1]), math.nan
        )
        return dict.fromkeys(("ratio", "low", "high"), whole) | {"p": math.nan}
    logs = [math.log(b / a) for a, b in zip(baseline, side, strict=True)]
    mean = fmean(logs)
    if len(logs) == 1:
        return {"ratio": math.exp(mean), "low": 0.0, "high": math.inf, "p": math.nan}
    error, freedom = stdev(logs) / math.sqrt(len(logs)), len(logs) - 1
    half = float(student.ppf(0.975, freedom)) * error
    p = 2 * float(student.sf(abs(mean) / error, freedom)) if error else float(mean == 0)
    return {"ratio": math.exp(mean), "low": math.exp(mean - half), "high": math.exp(mean + half), "p": p}


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values; NaN is not tested."""
    tested = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    adjusted, highest = [math.nan] * len(p_values), 0.0
    for rank, (p, place) in enumerate(tested):
        highest = max(highest, min(1.0, p * (len(tested) - rank)))
        adjusted[place] = highest
    return adjusted
