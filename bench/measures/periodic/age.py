"""The age of the balance that a reader sees: now, minus the due time of the last sync that was done.

It grows by a second a second and falls when a sync is done, so its distribution over time is
exact: no sampling. Before the first sync that was done, age counts from the window's start.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bench.measures.events.block import NS_PER_MS

#: The share of the time during which the age is at or below the headline figure.
HEADLINE = 0.99


def age_ms(done: Sequence[tuple[int, int]], start_ns: int, end_ns: int) -> tuple[float, float]:
    """The time-weighted p99 and the maximum of the age over start … end, in ms.

    `done` holds (done, due) of each successful run in ns, runs before the window included.
    Both are `inf` where none was done before the end.
    """
    seen = [(at, due) for at, due in sorted(done) if at < end_ns]
    if not seen:
        return math.inf, math.inf
    before = [due for at, due in seen if at <= start_ns]
    marks = [(start_ns, before[-1] if before else start_ns)]
    marks += [(at, due) for at, due in seen if at > start_ns]
    ends = [at for at, _ in marks[1:]] + [end_ns]
    low = np.array([at - due for at, due in marks]) / NS_PER_MS
    high = np.array([end - due for end, (_, due) in zip(ends, marks, strict=True)]) / NS_PER_MS
    ages = np.unique(np.concatenate([low, high]))
    share = np.array([np.clip(age - low, 0, high - low).sum() for age in ages]) / (high - low).sum()
    return float(np.interp(HEADLINE, share, ages)), float(high.max())
