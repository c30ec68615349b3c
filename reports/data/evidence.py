"""What a verdict rests on, taken from the tables: pure functions, None where it was not measured.

A number is never made up here: quantiles and intervals are the tables' own, and over blocks only
medians, ranges and sums are taken.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import pandas as pd

from bench.schema import State
from reports.data.frames import groups, records
from reports.data.run import Run

#: The sides that are a queue; the first that was measured speaks for queues.
QUEUES = ("celery-hardened", "celery-stock", "celery-app")
#: The side without a queue.
TASK = "inprocess"

#: The widest interval, as upper end over lower end, that tells a size (docs/method.md).
WIDEST = 1.5

#: Quantiles nearer than this are the same.
ROUNDING = 1e-9

_OPPOSITE = {"lower": "higher", "higher": "lower"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """What became of the accepted jobs of one scenario over all strikes of one fault at one side."""

    fault: int
    side: str
    strikes: int
    strikes_with_loss: int
    accepted: int
    exposed: int  # of the accepted; all of them in a run that did not tell
    lost: int
    stuck: int
    duplicated: int
    checked: bool  # every strike's sum check held and its verdict is known

    @property
    def state(self) -> State:
        """At least once: a loss breaks it; without one, a strike that could not be judged leaves it open."""
        if self.lost:
            return "broken"
        return "held" if self.checked else "unknown"

    @property
    def share(self) -> float:
        """Lost jobs per exposed job."""
        return self.lost / self.exposed


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One metric of `side` over `baseline`: ratio with its 95 % interval and the harness's words."""

    metric: str
    quantile: float
    baseline: str
    side: str
    pairs: float
    ratio: float
    low: float
    high: float
    difference_ms: float
    words: str
    why: str

    @property
    def differs(self) -> bool:
        """Whether one side is clearly lower."""
        return self.words in _OPPOSITE

    @property
    def size_known(self) -> bool:
        """Whether the interval is narrow enough to tell by how much; a direction can be sure without."""
        return 0 < self.low < math.inf and self.high / self.low <= WIDEST

    def flipped(self) -> Comparison:
        """The same finding told from the other side."""
        return Comparison(
            metric=self.metric,
            quantile=self.quantile,
            baseline=self.side,
            side=self.baseline,
            pairs=self.pairs,
            ratio=_inverse(self.ratio),
            low=_inverse(self.high),
            high=_inverse(self.low),
            difference_ms=-self.difference_ms,
            words=_OPPOSITE.get(self.words, self.words),
            why=self.why,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """How old a synced balance gets with one policy of one side: medians over its blocks and owners."""

    side: str
    policy: str
    runs: int  # owners times blocks
    age_p99_ms: float
    age_p99_low_ms: float
    age_p99_high_ms: float
    age_max_ms: float
    ticks_due: int
    missed: int
    duplicates: int
    drift_ppm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a side eats while it runs: medians over its blocks, NaN where not measured."""

    side: str
    cpu_s_per_1000: float
    pss_mb: float
    processes: float


def losses(run: Run, *, scenario: str, fault: int, side: str) -> Losses | None:
    """The losses at one fault; None where it did not strike or no job was exposed to it."""
    failures, exposure = run.table("failures"), run.table("exposure")
    rows = failures[
        (failures["scenario"] == scenario) & (failures["fault"] == fault) & (failures["side"] == side)
    ]
    accepted = total(rows["accepted"])
    if not accepted:
        return None
    lost = total(rows["lost"])
    reached = exposure[exposure["block"].isin(rows["block"]) & (exposure["scenario"] == scenario)]
    exposed = total(reached["exposed"])
    judged = rows["sum_ok"].fillna(value=False).astype(bool) & rows["at_least_once"].isin(["held", "broken"])
    return Losses(
        fault=fault,
        side=side,
        strikes=len(rows),
        strikes_with_loss=int((rows["lost"] > 0).sum()),
        accepted=accepted,
        exposed=max(exposed, lost) if exposed else accepted,
        lost=lost,
        stuck=total(rows["stuck"]),
        duplicated=total(rows["duplicated"]),
        checked=bool(judged.all()) and bool(rows["lost"].notna().all()),
    )


def comparison(
    comparisons: pd.DataFrame, *, scenario: str, metric: str, quantile: float, baseline: str, side: str
) -> Comparison | None:
    """The comparison of `side` with `baseline`, whichever way round the table has it."""
    rows = comparisons[
        (comparisons["scenario"] == scenario)
        & (comparisons["metric"] == metric)
        & ((comparisons["quantile"] - quantile).abs() < ROUNDING)
    ]
    for row in in_rows(rows):
        if (row.baseline, row.side) == (baseline, side):
            return row
        if (row.baseline, row.side) == (side, baseline):
            return row.flipped()
    return None


def in_rows(comparisons: pd.DataFrame) -> list[Comparison]:
    """Each row of `comparisons` that has words."""
    fields = [field.name for field in dataclasses.fields(Comparison)]
    return [Comparison(**row) for row in records(comparisons[fields]) if row["words"]]


def freshness(drift: pd.DataFrame) -> list[Freshness]:
    """Every side and policy that synced, in the order of the table."""
    known = drift[drift["age_p99_ms"].notna()]
    return [
        Freshness(
            side=str(side),
            policy=str(policy),
            runs=len(rows),
            age_p99_ms=middle(rows["age_p99_ms"]),
            age_p99_low_ms=float(rows["age_p99_ms"].min()),
            age_p99_high_ms=float(rows["age_p99_ms"].max()),
            age_max_ms=float(rows["age_max_ms"].max()),
            ticks_due=total(rows["ticks_due"]),
            missed=total(rows["missed"]),
            duplicates=total(rows["duplicates"]),
            drift_ppm=middle(rows["drift_ppm"]),
        )
        for (side, policy), rows in groups(known, "side", "policy")
    ]


def bursts(failures: pd.DataFrame, *, scenario: str, fault: int) -> dict[str, list[int]]:
    """For each side the ticks that came twice within half an interval, a strike each, as its checker saw."""
    rows = failures[(failures["fault"] == fault) & (failures["scenario"] == scenario)]
    found = {
        str(side): [int(count) for count in group["bursts"] if math.isfinite(count)]
        for side, group in groups(rows, "side")
    }
    return {side: counts for side, counts in found.items() if counts}


def cost(table: pd.DataFrame, side: str) -> Cost | None:
    """What a side costs to run; None where it was not measured."""
    rows = table[table["side"] == side]
    if rows.empty:
        return None
    return Cost(
        side=side,
        cpu_s_per_1000=middle(rows["cpu_s_per_1000"]),
        pss_mb=middle(rows["pss_mb"]),
        processes=middle(rows["processes"]),
    )


def middle(values: pd.Series[float]) -> float:
    """The median of what is there; infinities count, NaN where there is nothing."""
    ordered = sorted(values.dropna())
    if not ordered:
        return math.nan
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return float(low if low == high else (low + high) / 2)


def total(values: pd.Series[float]) -> int:
    """The sum of what is a number."""
    finite = values[values.notna() & (values.abs() != math.inf)]
    return int(finite.sum())


def _inverse(ratio: float) -> float:
    if ratio == 0:
        return math.inf
    return 1 / ratio
