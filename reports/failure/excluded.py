"""The strikes that do not count, by fault and side, each with its reason."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping

from reports.data import formatting
from reports.data.frames import records
from reports.data.run import Run

#: By fault and side: how many strikes and control runs do not count, and why.
Excluded = Mapping[tuple[float, str], str]


def excluded(run: Run) -> Excluded:
    """Every fault and side with strikes or control runs that do not count."""
    found: defaultdict[tuple[float, str], Counter[tuple[str, str]]] = defaultdict(Counter)
    for row in records(run.invalid_blocks()):
        if not math.isnan(row["fault"]):
            kind = "control run" if row["control"] is True else "strike"
            reason = row["reason"] or "no reason recorded"
            found[row["fault"], row["side"]][kind, reason] += 1
    return {key: "; ".join(_reasons(counted)) for key, counted in found.items()}


def _reasons(counted: Counter[tuple[str, str]]) -> list[str]:
    return [
        f"{formatting.plural(times, kind)} left out: {reason}"
        for (kind, reason), times in sorted(counted.items())
    ]
