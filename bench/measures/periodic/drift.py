"""Drift: how well a periodic sync keeps its grid, for each owner of one block.

docs/method.md has the definitions; `bench.measures.periodic.grid` matches each run to its tick.
Where a figure needs the matched phase (share on time, p50, p99) it is start - due of the
matched tick; drift rate, cumulative drift, jitter, MTIE and the column `phase_ms` of the ticks
take the unwrapped phase, which equals it until a policy has drifted by more than T.

A percentile from too few ticks is NaN, as everywhere; the age is weighted by time and needs no
minimum. The drift rate is the slope of the phase against the time of the grid, so that a policy
whose period is T·(1 + d) drifts by d: 1.0005 s instead of 1 s is 500 ppm.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from bench.measures.events.block import NS_PER_MS, NS_PER_S, Block, Event
from bench.measures.events.periodic_runs import Run, runs_by_owner
from bench.measures.periodic.age import age_ms
from bench.measures.periodic.grid import ESTIMATED_GUARD_NS, Grid, estimate_origin, make_grid, wraps
from bench.measures.statistics.quantiles import quantile
from bench.schema import MINIMUM_SAMPLES, TABLES

#: A run is on time if it starts no more than this many ms after its tick.
ON_TIME_MS = 50.0
#: The windows of the MTIE, in ticks.
MTIE_TICKS = (1, 10, 60)
#: Fewest points that a slope is drawn through.
_MIN_SLOPE_POINTS = 2

_Array = npt.NDArray[np.float64]


def drift_frames(
    events: Iterable[Event],
    block: Block,
    *,
    policy: str,
    interval_ns: int,
    origin_ns: int | None = None,
    owners: Sequence[str] | None = None,
    on_time_ms: float = ON_TIME_MS,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`TABLES["ticks"]` (one row a run) and `TABLES["drift"]` (one row an owner) of a block.

    The ticks are those that lie in the block's window with their whole interval, so pass events
    up to one interval beyond it. Without `origin_ns` the grid's origin is estimated from the
    owner's first starts. Without `owners` they are those that ran; name them, or an owner that
    never ran has no row.
    """
    runs = runs_by_owner(events)
    ticks: list[pd.DataFrame] = []
    rows: list[dict[str, object]] = []
    for owner in sorted(runs) if owners is None else owners:
        own = runs.get(owner, [])
        grid = _grid(own, block, interval_ns, origin_ns)
        frame = _tick_frame(own, grid)
        row = _row(frame, own, grid, on_time_ms) | _age(own, grid, block)
        names = {"block": block.block, "side": block.side, "policy": policy, "owner": owner}
        ticks.append(frame.assign(**names))
        rows.append(names | row)
    columns = list(TABLES["ticks"])
    joined = pd.concat(ticks)[columns] if ticks else pd.DataFrame(columns=columns)
    return joined.reset_index(drop=True), pd.DataFrame(rows, columns=list(TABLES["drift"]))


def mtie(sequence: _Array, phase: _Array, ticks: int) -> float:
    """The largest spread of the phase (shape (n,)) over any `ticks` ticks in a row; NaN for a shorter run.

    `sequence` numbers the phases, ascending; a number may be missing, as its tick is.
    """
    if sequence.size == 0 or sequence[-1] - sequence[0] < ticks:
        return math.nan
    series = pd.Series(phase, index=sequence.astype(int))
    full = series.reindex(range(int(sequence[0]), int(sequence[-1]) + 1))
    rolling = full.rolling(ticks + 1, min_periods=2)
    return float((rolling.max() - rolling.min()).max())


def drift_ppm(due_s: _Array, phase_ms: _Array) -> float:
    """The Theil-Sen slope of the unwrapped phase against the grid's time (both shape (n,)), in ppm."""
    if due_s.size < _MIN_SLOPE_POINTS:
        return math.nan
    return float(stats.theilslopes(phase_ms, due_s).slope) * 1_000  # ms a second are thousandths


def _grid(runs: Sequence[Run], block: Block, interval_ns: int, origin_ns: int | None) -> Grid:
    starts = [run.start for run in runs if run.start >= block.start_ns] or [block.start_ns]
    if origin_ns is not None:
        return make_grid(block.start_ns, block.end_ns, interval_ns, origin_ns)
    origin = estimate_origin(starts, interval_ns)
    return make_grid(block.start_ns, block.end_ns, interval_ns, origin, guard_ns=ESTIMATED_GUARD_NS)


def _tick_frame(runs: Sequence[Run], grid: Grid) -> pd.DataFrame:
    """The runs of the window: tick, due_ns, start_ns, done_ns, phase_ms (unwrapped), duplicate, wraps."""
    inside = [run for run in runs if 0 <= grid.tick(run.start) < grid.count]
    wrapped = wraps(grid, [run.start for run in inside])
    tick = pd.Series([grid.tick(run.start) for run in inside], dtype="int64")
    start = pd.Series([run.start for run in inside], dtype="int64")
    due = grid.first_ns + tick * grid.interval_ns
    wrap = tick.map(wrapped).astype("int64")
    return pd.DataFrame(
        {
            "tick": tick,
            "due_ns": due,
            "start_ns": start,
            "done_ns": pd.array([run.done for run in inside], dtype="Int64"),
            "phase_ms": (start - due + wrap * grid.interval_ns) / NS_PER_MS,
            "duplicate": tick.duplicated(),
            "wraps": wrap,
        }
    )


def _row(frame: pd.DataFrame, runs: Sequence[Run], grid: Grid, on_time_ms: float) -> dict[str, object]:
    firsts = frame[~frame["duplicate"]]
    matched = ((firsts["start_ns"] - firsts["due_ns"]) / NS_PER_MS).to_numpy(dtype=np.float64)
    phase = firsts["phase_ms"].to_numpy(dtype=np.float64)
    sequence = (firsts["tick"] - firsts["wraps"]).to_numpy(dtype=np.float64)
    start_s = ((firsts["start_ns"] - grid.first_ns) / NS_PER_S).to_numpy(dtype=np.float64)
    jitter = np.diff(phase)[np.diff(sequence) == 1]
    on_time = int(((matched >= -grid.guard_ns / NS_PER_MS) & (matched <= on_time_ms)).sum())
    inside = [run for run in runs if 0 <= grid.tick(run.start) < grid.count]
    return {
        "ticks_due": grid.count,
        "ticks_run": len(firsts),
        "missed": grid.count - len(firsts),
        "duplicates": int(frame["duplicate"].sum()),
        "on_time_percent": 100 * on_time / grid.count if grid.count else math.nan,
        "phase_p50_ms": _percentile(matched, 0.5),
        "phase_p99_ms": _percentile(matched, 0.99),
        "jitter_sd_ms": float(jitter.std(ddof=1)) if jitter.size > 1 else math.nan,
        "jitter_p1_ms": -_percentile(-jitter, 0.99),
        "jitter_p99_ms": _percentile(jitter, 0.99),
        "drift_ppm": drift_ppm(sequence * grid.interval_ns / NS_PER_S, phase),
        "cumulative_ms": float(phase[-1] - phase[0]) if phase.size else math.nan,
        "run_s": float(start_s[-1] - start_s[0]) if phase.size else 0.0,
        "overlaps": sum(one.done is not None and two.start < one.done for one, two in pairwise(inside)),
        "bursts": sum(two.start - one.start < grid.interval_ns / 2 for one, two in pairwise(inside)),
        **{f"mtie_{ticks}_ms": mtie(sequence, phase, ticks) for ticks in MTIE_TICKS},
    }


def _age(runs: Sequence[Run], grid: Grid, block: Block) -> dict[str, object]:
    done = [(run.done, grid.due(grid.tick(run.start))) for run in runs if run.done is not None]
    p99, longest = age_ms(done, block.start_ns, block.end_ns)
    return {"age_p99_ms": p99, "age_max_ms": longest}


def _percentile(values: _Array, q: float) -> float:
    return quantile(values, q) if values.size >= MINIMUM_SAMPLES[q] else math.nan
