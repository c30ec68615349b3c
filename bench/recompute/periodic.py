"""Periodic runs against their grid: ticks, phase, drift and the age of what a reader sees."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations, pairwise
from statistics import median

from bench.recompute.jobs import PERIODIC, Event
from bench.recompute.quantiles import MINIMUM, quantile

#: A start may come so long before its tick, and so late it is on time. The grid is estimated from starts.
GUARD_NS = 50_000_000
#: Starts from which the grid is estimated.
FIRST_STARTS = 5
#: The share of the time for which the age is told.
SHARE = 0.99

Run = tuple[int, int | None]  # start, done


def runs_of(events: Sequence[Event]) -> dict[str, list[Run]]:
    """The runs of each owner by start; an end belongs to the earliest open start of its attempt."""
    starts: dict[str, list[int]] = defaultdict(list)
    done: dict[tuple[str, int], int] = {}
    waiting: dict[tuple[str, object], list[int]] = defaultdict(list)
    for event in events:
        if event.get("scenario") not in PERIODIC or "job" not in event:
            continue
        owner = str(event["job"]).removesuffix("/sync")
        open_starts = waiting[owner, event.get("attempt")]
        if event["event"] == "start":
            starts[owner].append(event["t"])
            open_starts.append(event["t"])
        elif event["event"] in {"done", "cancelled", "raised"} and open_starts:
            start = open_starts.pop(0)
            if event["event"] == "done":
                done[owner, start] = event["t"]
    return {owner: [(start, done.get((owner, start))) for start in own] for owner, own in starts.items()}


def drift_row(runs: Sequence[Run], start_ns: int, end_ns: int, interval_ns: int) -> dict[str, float]:
    """The figures of one owner in the window that docs/method.md defines."""
    first_ns = _first_tick(
        [start for start, _ in runs if start >= start_ns] or [start_ns], start_ns, interval_ns
    )
    due = max(0, (end_ns - first_ns) // interval_ns)
    placed = [((start - first_ns + GUARD_NS) // interval_ns, start) for start, _ in runs]
    ticks: dict[int, int] = {}
    doubled = set()
    for tick, start in placed:
        if 0 <= tick < due:
            doubled.update({tick} & ticks.keys())
            ticks.setdefault(tick, start)
    inside = [start for tick, start in placed if 0 <= tick < due]
    phases = {tick: (start - first_ns - tick * interval_ns) / 1e6 for tick, start in ticks.items()}
    on_time = sum(-GUARD_NS / 1e6 <= phase <= GUARD_NS / 1e6 for phase in phases.values())
    done = [
        (end, first_ns + tick * interval_ns) for (tick, _), (_, end) in zip(placed, runs, strict=True) if end
    ]
    age_p99, age_max = _age(done, start_ns, end_ns)
    enough = len(phases) >= MINIMUM[0.5]
    return {
        "ticks_due": due,
        "ticks_run": len(ticks),
        "missed": due - len(ticks),
        "duplicates": len(inside) - len(ticks),
        "on_time_percent": 100 * on_time / due if due else math.nan,
        "phase_p50_ms": quantile(list(phases.values()), 0.5) if enough else math.nan,
        "drift_ppm": _slope_ppm(phases, doubled, interval_ns / 1e6),
        "bursts": sum(two - one < interval_ns / 2 for one, two in pairwise(inside)),
        "age_p99_ms": age_p99,
        "age_max_ms": age_max,
    }


def _first_tick(starts: Sequence[int], start_ns: int, interval_ns: int) -> int:
    """The first tick in the window of the grid that the earliest phase of the first starts gives."""
    kept = [starts[0]]
    for start in starts:
        if start - kept[-1] >= interval_ns // 4:
            kept.append(start)
    origin = min(start - k * interval_ns for k, start in enumerate(kept[:FIRST_STARTS]))
    return start_ns + (origin - start_ns) % interval_ns


def _slope_ppm(phases: dict[int, float], doubled: set[int], interval_ms: float) -> float:
    """Theil and Sen's slope of the unwrapped phase; a slide past a whole interval is no jump back."""
    turns, points, before = 0, [], None
    for tick, phase in phases.items():
        if before is not None:
            change = phase - phases[before]
            turns += (tick - before > 1 and change < -interval_ms / 2) - (
                before in doubled and change > interval_ms / 2
            )
        points.append(((tick - turns) * interval_ms, phase + turns * interval_ms))
        before = tick
    slopes = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(points, 2) if x1 != x2]
    return median(slopes) * 1e6 if slopes else math.nan


def _age(done: Sequence[tuple[int, int]], start_ns: int, end_ns: int) -> tuple[float, float]:
    """The age that holds for 99 % of the window, found by bisection, and the highest age, ms."""
    seen = sorted((at, due) for at, due in done if at < end_ns)
    if not seen:
        return math.inf, math.inf
    before = [due for at, due in seen if at <= start_ns]
    marks = [(start_ns, before[-1] if before else start_ns), *(item for item in seen if item[0] > start_ns)]
    ends = [*(at for at, _ in marks[1:]), end_ns]
    spans = [(at - due, end - due) for (at, due), end in zip(marks, ends, strict=True)]
    low, high = 0.0, float(max(end for _, end in spans))
    highest = high
    while high - low > 1:  # ns
        middle = (low + high) / 2
        below = sum(min(max(middle - start, 0), end - start) for start, end in spans)
        low, high = (low, middle) if below >= SHARE * (end_ns - start_ns) else (middle, high)
    return high / 1e6, highest / 1e6
