"""From block quantiles of two sides to words for their difference.

| words               | when                                                                          |
|---------------------|-------------------------------------------------------------------------------|
| too few pairs       | fewer pairs of blocks (or blocks a side) than needed                           |
| higher, lower       | the difference is significant and larger than the practical margin            |
| no clear difference | it is significant but within the margin, or not significant in a narrow interval |
| too noisy to say    | it is not significant, and the interval is wider than a factor 1.5             |
| the same run        | a run compared with itself (`bench.analysis.run_comparison`)                  |

A ratio is the ratio of what was measured: no value is raised to a floor first. *Significant* means that the
t-test of the mean log ratio has a p-value below 0.05 after Holm's correction over all comparisons that are
called together. `why` says where a direction is sure but the interval is too wide to give a size.

The practical margin is 10 % of the baseline, or an absolute one where that is larger: 1 ms for a latency that
a person feels, and the clock's resolution for any other metric.

The machine's own hiccups limit tails. From p99 up a value below the hiccup's p99 is marked (`under_hiccup`),
and a difference smaller than it is no clear difference.

A side that did not finish (`inf`) in every block, where the baseline did in every block, is higher; the other
way round it is lower. Infinities in some blocks only, or on both sides, are too noisy to say. None of these
has a p-value, so they are no part of the correction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.measures.statistics.interval import CONFIDENCE, NO_INTERVAL, Ratio, paired, unpaired
from bench.schema import Words

#: Fewest pairs (or blocks a side) from which a difference is called, unless the caller asks for more.
MIN_PAIRS = 4
#: Widest interval, as upper end over lower end, that gives a size.
WIDEST = 1.5
#: The practical margin as a share of the baseline …
MARGIN_SHARE = 0.10
#: … or, where that is larger, so many ms for a metric of `FELT`, and `RESOLUTION_MS` for any other.
MARGIN_MS = 1.0
#: The latencies that a person feels.
FELT = frozenset({"response", "uncorrected", "seen", "request"})
#: Resolution of the clock, ms; replaces zero and less, which have no logarithm.
RESOLUTION_MS = 0.001
#: The lowest quantile that is a tail, which the machine's hiccups limit.
TAIL = 0.99

_Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The measured difference of two sides' block quantiles, side over baseline, before it has words."""

    pairs: int
    pairs_needed: int
    ratio: Ratio
    #: Geometric means over the blocks, ms.
    baseline_ms: float
    side_ms: float
    margin_ms: float
    #: The hiccup p99 that limits this quantile, ms; 0 below `TAIL`.
    hiccup_ms: float
    #: Blocks of the baseline and of the side whose value is infinite.
    unfinished: tuple[int, int]
    blocks: tuple[int, int]

    @property
    def difference_ms(self) -> float:
        """Side minus baseline."""
        return self.side_ms - self.baseline_ms

    @property
    def p(self) -> float:
        """The p-value of the ratio being 1; NaN where the difference is not tested."""
        return math.nan if self.pairs < self.pairs_needed else self.ratio.p


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A difference in words: the columns that `TABLES["comparisons"]` has beside the names."""

    pairs: int
    pairs_needed: int
    ratio: float
    low: float
    high: float
    difference_ms: float
    margin_ms: float
    #: p-values, as tested and after Holm's correction; NaN where there is no test.
    p: float
    p_holm: float
    #: Whether it is a tail of which a value lies below the machine's own hiccup.
    under_hiccup: bool
    words: Words
    why: str


def measure_difference(
    baseline: Sequence[float],
    side: Sequence[float],
    *,
    metric: str = "response",
    quantile: float = 0.5,
    hiccup_ms: float = 0.0,
    is_paired: bool = True,
    min_pairs: int = MIN_PAIRS,
) -> Difference:
    """Compare block quantiles in ms; where they are paired, both have the shape (pairs,) in one order.

    `hiccup_ms` is the hiccup p99 of the blocks. Raise ValueError where they cannot be paired.
    """
    if is_paired and len(baseline) != len(side):
        raise ValueError(f"{len(baseline)} blocks cannot be paired with {len(side)}")
    base_values, side_values = positive(baseline), positive(side)
    unfinished = (int(np.isinf(base_values).sum()), int(np.isinf(side_values).sum()))
    log_base, log_side = np.log(base_values), np.log(side_values)
    if any(unfinished) or not (log_base.size and log_side.size):
        ratio = NO_INTERVAL
    else:
        ratio = paired(log_side - log_base) if is_paired else unpaired(log_side, log_base)
    baseline_ms = _geometric_mean(log_base)
    return Difference(
        pairs=min(log_base.size, log_side.size),
        pairs_needed=min_pairs,
        ratio=ratio,
        baseline_ms=baseline_ms,
        side_ms=_geometric_mean(log_side),
        margin_ms=margin_ms(metric, baseline_ms),
        hiccup_ms=hiccup_ms if quantile >= TAIL else 0.0,
        unfinished=unfinished,
        blocks=(log_base.size, log_side.size),
    )


def call_differences(differences: Sequence[Difference]) -> list[Comparison]:
    """Put each difference in words, with Holm's correction over all of them."""
    adjusted = holm([difference.p for difference in differences])
    tested = sum(not math.isnan(p) for p in adjusted)
    return [_call(one, p_holm, tested) for one, p_holm in zip(differences, adjusted, strict=True)]


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p-values in the order given; NaN stays NaN and is not counted.

    To reject those below 0.05 makes any false rejection in at most 5 % of families, however they depend on
    each other (S. Holm, "A simple sequentially rejective multiple test procedure", 1979).
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values)[: int((~np.isnan(values)).sum())]  # NaN is sorted last
    scaled = values[order] * np.arange(order.size, 0, -1)
    adjusted = np.full(values.shape, math.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return [float(p) for p in adjusted]


def margin_ms(metric: str, baseline_ms: float) -> float:
    """The smallest difference of this metric that matters in practice, ms."""
    least = MARGIN_MS if metric in FELT else RESOLUTION_MS
    share = MARGIN_SHARE * baseline_ms
    return max(share, least) if math.isfinite(share) else least


def positive(values: Sequence[float] | _Values) -> _Values:
    """The values with zero and less, which have no logarithm, replaced by `RESOLUTION_MS`."""
    found = np.asarray(values, dtype=np.float64)
    return np.where(found <= 0, RESOLUTION_MS, found)


def _geometric_mean(logs: _Values) -> float:
    return float(np.exp(logs.mean())) if logs.size else math.nan


def _call(found: Difference, p_holm: float, tested: int) -> Comparison:
    words, why = _words(found, p_holm, tested)
    values = (found.baseline_ms, found.side_ms)
    return Comparison(
        pairs=found.pairs,
        pairs_needed=found.pairs_needed,
        ratio=_unfinished_ratio(words) if any(found.unfinished) else found.ratio.ratio,
        low=_unfinished_ratio(words) if any(found.unfinished) else found.ratio.low,
        high=_unfinished_ratio(words) if any(found.unfinished) else found.ratio.high,
        difference_ms=found.difference_ms,
        margin_ms=found.margin_ms,
        p=found.p,
        p_holm=p_holm,
        under_hiccup=any(value < found.hiccup_ms for value in values),
        words=words,
        why=why,
    )


def _words(found: Difference, p_holm: float, tested: int) -> tuple[Words, str]:
    if found.pairs < found.pairs_needed:
        return "too few pairs", f"{found.pairs} of {found.pairs_needed} pairs of blocks"
    if any(found.unfinished):
        return _unfinished(found)
    interval = f"the interval {found.ratio.low:.3g} to {found.ratio.high:.3g}"
    if p_holm < 1 - CONFIDENCE:
        return _significant(found, interval)
    holds = "holds 1" if found.p >= 1 - CONFIDENCE else f"is not sure among {tested} comparisons (Holm)"
    if found.ratio.width > WIDEST:
        return "too noisy to say", f"{interval} is wider than a factor {WIDEST} and {holds}"
    return "no clear difference", f"{interval} {holds}"


def _significant(found: Difference, interval: str) -> tuple[Words, str]:
    difference = found.difference_ms
    if abs(difference) <= found.margin_ms:
        return "no clear difference", f"{difference:+.3g} ms is within the margin of {found.margin_ms:.3g} ms"
    if abs(difference) < found.hiccup_ms:
        limit = f"the machine's hiccup p99 of {found.hiccup_ms:.3g} ms"
        return "no clear difference", f"{difference:+.3g} ms is less than {limit}"
    direction: Words = "higher" if difference > 0 else "lower"
    if found.ratio.width > WIDEST:
        return direction, f"the direction is sure, the size is not: {interval}"
    return direction, f"{difference:+.3g} ms, {interval} leaves 1 out"


def _unfinished(found: Difference) -> tuple[Words, str]:
    (base, side), (base_blocks, side_blocks) = found.unfinished, found.blocks
    why = f"> limit in {base} of {base_blocks} blocks of the baseline and {side} of {side_blocks} of the side"
    if (base, side) == (0, side_blocks):
        return "higher", why
    if (base, side) == (base_blocks, 0):
        return "lower", why
    return "too noisy to say", why


def _unfinished_ratio(words: Words) -> float:
    return {"higher": math.inf, "lower": 0.0}.get(words, math.nan)
