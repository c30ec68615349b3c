"""From block quantiles of two sides to words: lower | higher | no clear difference | too noisy to say.

1. Each value counts as at least the platform's hiccup: no side is charged for less.
2. A side that did not finish (`inf`) in every block, where the baseline did, is higher, and the
   other way round lower. With infinities in some blocks only, or on both sides, no interval can
   be drawn: too noisy to say.
3. Fewer blocks than the minimum: too noisy to say. So is an interval wider than a factor 1.5,
   unless all of it lies beyond the margin of 4 on one side: then lower or higher, and `why` says
   that the direction is sure and the size is not.
4. The interval leaves 1 out and the difference is more than 10 % of the baseline and more than
   1 ms: lower or higher. Otherwise no clear difference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.measures.statistics.interval import Ratio, paired, unpaired
from bench.schema import Words

#: Fewest pairs (or blocks a side) from which anything is said, unless the caller asks for more.
MIN_PAIRS = 4
#: Widest interval, as upper end over lower end, that still says something.
WIDEST = 1.5
#: The smallest difference that matters: this part of the baseline …
MARGIN_SHARE = 0.10
#: … or this many ms, whichever is larger.
MARGIN_MS = 1.0
#: Least value that a clock of one microsecond can tell, ms; stands in for zero under the logarithm.
RESOLUTION_MS = 0.001

_Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What two sides' block quantiles say; ratio is side over baseline, times are ms."""

    pairs: int
    ratio: float
    low: float
    high: float
    difference_ms: float
    words: Words
    why: str


def classify_difference(
    baseline: Sequence[float],
    side: Sequence[float],
    *,
    floor_ms: float = 0.0,
    is_paired: bool = True,
    min_pairs: int = MIN_PAIRS,
) -> Comparison:
    """Compare block quantiles in ms; where they are paired, both of shape (pairs,) in one order."""
    if is_paired and len(baseline) != len(side):
        raise ValueError(f"{len(baseline)} blocks cannot be paired with {len(side)}")
    floor = max(floor_ms, RESOLUTION_MS)
    low_side, low_base = np.maximum(side, floor), np.maximum(baseline, floor)
    blocks = min(len(baseline), len(side))
    if blocks == 0:
        return _unsaid(0, "no pair of blocks has this figure")
    if np.isinf(low_side).any() or np.isinf(low_base).any():
        return _infinite(low_base, low_side, min_pairs)
    logs_base, logs_side = np.log(low_base), np.log(low_side)
    ratio = paired(logs_side - logs_base) if is_paired else unpaired(logs_side, logs_base)
    level = float(np.exp(logs_base.mean()))
    words, why = _judge(ratio, level, blocks, min_pairs)
    if min(np.min(side), np.min(baseline)) < floor and floor_ms > 0:
        why += f"; values under the platform's hiccup of {floor:.3g} ms count as that"
    return Comparison(
        pairs=blocks,
        ratio=ratio.ratio,
        low=ratio.low,
        high=ratio.high,
        difference_ms=level * (ratio.ratio - 1),
        words=words,
        why=why,
    )


def _judge(ratio: Ratio, level: float, blocks: int, min_pairs: int) -> tuple[Words, str]:
    difference, margin = level * (ratio.ratio - 1), max(MARGIN_SHARE * level, MARGIN_MS)
    interval = f"{ratio.low:.3g} to {ratio.high:.3g}"
    if blocks < min_pairs:
        return "too noisy to say", f"{blocks} pairs of blocks, {min_pairs} are needed"
    if ratio.width > WIDEST:
        return _judge_wide(ratio, level, margin)
    if ratio.low <= 1 <= ratio.high:
        return "no clear difference", f"the interval {interval} holds 1"
    if abs(difference) <= margin:
        return "no clear difference", f"{difference:+.3g} ms is within the margin of {margin:.3g} ms"
    direction: Words = "higher" if ratio.ratio > 1 else "lower"
    return direction, f"{difference:+.3g} ms, the interval {interval} leaves 1 out"


def _judge_wide(ratio: Ratio, level: float, margin: float) -> tuple[Words, str]:
    interval = f"{ratio.low:.3g} to {ratio.high:.3g}"
    sure = f"the direction is sure, the size is not: the interval is {interval}"
    if level * (ratio.low - 1) > margin:
        return "higher", sure
    if level * (1 - ratio.high) > margin:
        return "lower", sure
    return "too noisy to say", f"the interval {interval} is wider than a factor {WIDEST}"


def _infinite(baseline: _Values, side: _Values, min_pairs: int) -> Comparison:
    blocks = min(len(baseline), len(side))
    base_count, side_count = int(np.isinf(baseline).sum()), int(np.isinf(side).sum())
    counts = f"{base_count} of {len(baseline)}, of the side: {side_count} of {len(side)}"
    why = f"> limit in blocks of the baseline: {counts}"
    if blocks < min_pairs or (base_count, side_count) not in {(0, len(side)), (len(baseline), 0)}:
        return _unsaid(blocks, why)
    ratio, difference_ms = (math.inf, math.inf) if side_count else (0.0, -math.inf)
    return Comparison(
        pairs=blocks,
        ratio=ratio,
        low=ratio,
        high=ratio,
        difference_ms=difference_ms,
        words="higher" if side_count else "lower",
        why=why,
    )


def _unsaid(blocks: int, why: str) -> Comparison:
    nan = math.nan
    return Comparison(
        pairs=blocks, ratio=nan, low=nan, high=nan, difference_ms=nan, words="too noisy to say", why=why
    )
