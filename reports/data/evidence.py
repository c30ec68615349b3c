"""The figures that verdicts rest on, from the tables: pure functions, None if it was not measured.

Quantiles and intervals are those of the tables. Over blocks only medians, ranges and sums are computed.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import pandas as pd

from bench.schema import State
from reports.data import formatting
from reports.data.frames import groups, records
from reports.data.run import Run

#: The sides that are a queue, by preference: the first that was measured is judged.
QUEUES = ("celery-hardened", "celery-stock", "celery-app")
#: The side without a queue.
TASK = "inprocess"
#: The side without a queue whose jobs are rows of the app's database.
JOURNALLED = "inprocess-journal"

#: The widest interval, upper end over lower end, from which a size is given (docs/method.md).
WIDEST = 1.5

#: Milliseconds from due to effect after which a job counts as late, where no workload says otherwise.
DEADLINE_MS = 5000.0

#: Quantiles nearer than this are the same.
ROUNDING = 1e-9

_OPPOSITE = {"lower": "higher", "higher": "lower"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """The accepted jobs of one scenario over all strikes of one fault at one side, by class."""

    fault: int
    side: str
    strikes: int
    strikes_with_loss: int
    strikes_made: int  # with those that were made again since they exposed no job
    accepted: int
    unanswered: int  # not accepted: their caller got no answer, at the kill or, in old runs, at any time
    exposed: int  # of the accepted; all of them if the run did not record exposure
    exposure_known: bool
    lost: int
    stuck: int
    duplicated: int
    late: int
    late_known: bool  # whether lateness was measured in any strike
    deadline_ms: float
    checked: bool  # every strike's sum check held and its verdict is known

    @property
    def state(self) -> State:
        """Whether "at least once" held; unknown if nothing was exposed or a strike could not be judged."""
        if self.lost:
            return "broken"
        return "held" if self.checked and self.exposed else "unknown"

    @property
    def share(self) -> float:
        """Lost jobs per exposed job; NaN if none was exposed."""
        return self.lost / self.exposed if self.exposed else math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One metric of `side` over `baseline`: the ratio with its 95 % interval, and the words for it."""

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
    #: Missing in runs of earlier versions.
    pairs_needed: float = math.nan
    #: The smallest difference that matters in practice.
    margin_ms: float = math.nan

    @property
    def called(self) -> str:
        """The words, with the pairs where there are too few."""
        return formatting.called(self.words, self.pairs, self.pairs_needed)

    @property
    def differs(self) -> bool:
        """Whether one side is clearly lower."""
        return self.words in _OPPOSITE

    @property
    def size_known(self) -> bool:
        """Whether the interval is narrow enough to give a size; a direction can be sure without one."""
        return 0 < self.low < math.inf and self.high / self.low <= WIDEST

    def flipped(self) -> Comparison:
        """The same comparison with side and baseline exchanged."""
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
            pairs_needed=self.pairs_needed,
            margin_ms=self.margin_ms,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """The age of the balance with one policy of one side: medians over blocks and owners."""

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
class Capacity:
    """The most that a side gets done, requests of the common mix a second, as an interval over its ramps."""

    side: str
    ramps: int
    low: float
    #: `inf` where the generator limited a ramp: the interval is open.
    high: float

    def __str__(self) -> str:
        """As in "73 to 92/s"."""
        return f"{formatting.span(self.low, self.high)}/s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a side uses: medians over its blocks, NaN if not measured."""

    side: str
    cpu_s_per_1000: float
    pss_mb: float
    processes: float


def deadline_ms(run: Run, scenario: str) -> float:
    """Milliseconds from due to effect after which a job is late: the workload's own, or the default."""
    tasks = run.mapping("own_app").get("tasks") or []
    own = [task["deadline_s"] for task in tasks if task.get("name") == scenario and task.get("deadline_s")]
    return min(map(float, own)) * 1000 if own else DEADLINE_MS


def losses(run: Run, *, scenario: str, fault: int, side: str) -> Losses | None:
    """The losses at one fault; None if it did not strike or no job was accepted."""
    failures, exposure = run.table("failures"), run.table("exposure")
    rows = failures[
        (failures["scenario"] == scenario) & (failures["fault"] == fault) & (failures["side"] == side)
    ]
    accepted = total(rows["accepted"])
    if not accepted:
        return None
    lost = total(rows["lost"])
    reached = exposure[exposure["block"].isin(rows["block"]) & (exposure["scenario"] == scenario)]
    known = bool(reached["exposed"].notna().any())
    judged = rows["sum_ok"].fillna(value=False).astype(bool) & rows["at_least_once"].isin(["held", "broken"])
    return Losses(
        fault=fault,
        side=side,
        strikes=len(rows),
        strikes_with_loss=int((rows["lost"] > 0).sum()),
        strikes_made=max(total(reached["strikes"]), len(rows)),
        accepted=accepted,
        unanswered=total(reached["unanswered"] if reached["unanswered"].notna().any() else rows["unknown"]),
        exposed=max(total(reached["exposed"]), lost) if known else accepted,
        exposure_known=known,
        lost=lost,
        stuck=total(rows["stuck"]),
        duplicated=total(rows["duplicated"]),
        late=total(rows["late"]),
        late_known=bool(rows["late"].notna().any()),
        deadline_ms=deadline_ms(run, scenario),
        checked=bool(judged.all()) and bool(rows["lost"].notna().all()),
    )


def comparison(
    comparisons: pd.DataFrame, *, scenario: str, metric: str, quantile: float, baseline: str, side: str
) -> Comparison | None:
    """The comparison of `side` with `baseline`; the table may have it either way round."""
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
    """The rows of `comparisons` that have words."""
    fields = [field.name for field in dataclasses.fields(Comparison)]
    return [Comparison(**row) for row in records(comparisons[fields]) if row["words"]]


def freshness(drift: pd.DataFrame) -> list[Freshness]:
    """Every side and policy with an age, in the order of the table."""
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
    """For each side, how many ticks ran twice within half an interval, in each strike."""
    rows = failures[(failures["fault"] == fault) & (failures["scenario"] == scenario)]
    found = {
        str(side): [int(count) for count in group["bursts"] if math.isfinite(count)]
        for side, group in groups(rows, "side")
    }
    return {side: counts for side, counts in found.items() if counts}


def capacities(table: pd.DataFrame) -> list[Capacity]:
    """The capacity of each side, in the order of the reports.

    A ramp shows it between what was done a second, or the last step that held if that is less, and the first
    step that did not hold: a step is 25 %. The interval spans those of all ramps of the side.
    """
    found = []
    for side, rows in groups(table, "side"):
        lows = rows[["capacity_per_s", "held_per_s"]].min(axis=1)
        highs = rows[["capacity_per_s", "broke_per_s"]].max(axis=1)
        is_open = rows["broke_per_s"].isna()
        found.append(
            Capacity(
                side=str(side),
                ramps=len(rows),
                low=float(lows.min()),
                high=math.inf if is_open.any() else float(highs.max()),
            )
        )
    return found


def cost(table: pd.DataFrame, side: str) -> Cost | None:
    """What a side costs to run; None if it was not measured."""
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
    """The median of the values that are present, infinities included; NaN if there is none."""
    ordered = sorted(values.dropna())
    if not ordered:
        return math.nan
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return float(low if low == high else (low + high) / 2)


def total(values: pd.Series[float]) -> int:
    """The sum of the finite values."""
    finite = values[values.notna() & (values.abs() != math.inf)]
    return int(finite.sum())


def _inverse(ratio: float) -> float:
    if ratio == 0:
        return math.inf
    return 1 / ratio
