"""Many periodic owners that are due together: the phase of each run, and the ticks that were missed.

All owners share one grid, g_k = t0 + k·T. t0 is the least that `grid.estimate_origin` makes of any
owner's first starts. So a constant lag of the scheduler is not charged, but the time that the last of
thousands waits behind the first is. `bench.measures.periodic.grid` matches runs to ticks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from bench.measures.events.block import NS_PER_MS, NS_PER_S, Block, Event
from bench.measures.events.periodic_runs import runs_by_owner
from bench.measures.periodic.drift import ON_TIME_MS, drift_ppm
from bench.measures.periodic.grid import ESTIMATED_GUARD_NS, Grid, estimate_origin
from bench.measures.statistics.quantiles import quantile
from bench.schema import MINIMUM_SAMPLES

_Array = npt.NDArray[np.float64]


def owners_row(
    events: Iterable[Event], block: Block, *, owners: Sequence[str], interval_ns: int, ticks: int
) -> dict[str, object]:
    """Return the ticks, phase and jitter of `TABLES["owners"]`; `owners` are those that note their runs.

    The block starts at the first run that was seen, which may be late: the grid may begin before it.
    """
    runs = {owner: [run.start for run in own] for owner, own in runs_by_owner(events).items()}
    starts = [[start for start in runs.get(owner, []) if block.start_ns <= start] for owner in owners]
    origin = min((estimate_origin(own, interval_ns) for own in starts if own), default=block.start_ns)
    grid = Grid(first_ns=origin, interval_ns=interval_ns, count=ticks, guard_ns=ESTIMATED_GUARD_NS)
    inside = [[start for start in own if 0 <= grid.tick(start) < ticks] for own in starts]
    firsts = [_first_of_each(grid, own) for own in inside]
    duplicates = sum(map(len, inside)) - sum(map(len, firsts))
    phases = np.array([_phase_ms(grid, tick, start) for own in firsts for tick, start in own.items()])
    jitters = np.array([jitter for own in firsts for jitter in _jitters_ms(own, interval_ns)])
    due, ran = len(owners) * ticks, len(phases)
    on_time = int(((phases >= -grid.guard_ns / NS_PER_MS) & (phases <= ON_TIME_MS)).sum())
    return {
        "ticks_due": due,
        "ticks_run": ran,
        "missed": due - ran,
        "duplicates": duplicates,
        "on_time_percent": 100 * on_time / due if due else math.nan,
        "phase_p50_ms": _percentile(phases, 0.5),
        "phase_p99_ms": _percentile(phases, 0.99),
        "phase_max_ms": float(phases.max()) if ran else math.nan,
        "jitter_sd_ms": float(jitters.std(ddof=1)) if jitters.size > 1 else math.nan,
        "jitter_p1_ms": -_percentile(-jitters, 0.99),
        "jitter_p99_ms": _percentile(jitters, 0.99),
        "drift_ppm": _drift_ppm(firsts, interval_ns),
    }


def _first_of_each(grid: Grid, starts: Iterable[int]) -> dict[int, int]:
    """The first start of each tick, the ticks ascending."""
    firsts: dict[int, int] = {}
    for start in sorted(starts):
        firsts.setdefault(grid.tick(start), start)
    return firsts


def _phase_ms(grid: Grid, tick: int, start: int) -> float:
    return (start - grid.due(tick)) / NS_PER_MS


def _jitters_ms(firsts: dict[int, int], interval_ns: int) -> list[float]:
    """How far from the interval two starts in a row are."""
    return [
        (second - first - interval_ns) / NS_PER_MS
        for (tick, first), (following, second) in pairwise(firsts.items())
        if following - tick == 1
    ]


def _drift_ppm(firsts: Sequence[dict[int, int]], interval_ns: int) -> float:
    """The median over the owners."""
    drifts = [_own_drift_ppm(own, interval_ns) for own in firsts if len(own) > 1]
    return float(np.median(drifts)) if drifts else math.nan


def _own_drift_ppm(firsts: dict[int, int], interval_ns: int) -> float:
    """As `bench.measures.periodic.drift.drift_ppm`: one late run does not change it."""
    grid_ns = np.array(list(firsts), dtype=np.float64) * interval_ns
    starts_ns = np.array(list(firsts.values()), dtype=np.float64) - min(firsts.values())
    return drift_ppm(grid_ns / NS_PER_S, (starts_ns - grid_ns) / NS_PER_MS)


def _percentile(values: _Array, q: float) -> float:
    return quantile(values, q) if values.size >= MINIMUM_SAMPLES[q] else math.nan
