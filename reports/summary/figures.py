"""The key figures of a run, one for each side. The list of runs follows them from run to run.

| key          | what                                                    | over                      |
|--------------|---------------------------------------------------------|---------------------------|
| response_p50 | median response of a scenario, ms                       | blocks: median and range  |
| caller_p50   | median cost to the caller, ms                           | blocks: median and range  |
| age_p99      | age of the synced balance at p99, ms, a policy each     | owners and blocks         |
| lost_10 …    | share of the exposed set-ups lost at a fault            | strikes; high is the bound |
| pss          | memory over all processes, MB                           | blocks: median and range  |
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from bench.schema import SIDES
from reports.data import evidence, formatting
from reports.data.frames import groups
from reports.data.run import Run

#: Metrics of `latency.csv` whose median is a key figure.
MEDIANS = {"response": "response_p50", "caller": "caller_p50"}
#: Faults whose losses are key figures: kill -9 of the app and of the worker.
KILLS = (10, 12)
#: The scenario whose jobs must not be lost.
KEPT = "account_setup"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A number with its range or bound, from `n` blocks, runs of an owner, or exposed jobs."""

    key: str
    scenario: str
    side: str
    policy: str
    unit: str  # ms | MB | share
    value: float
    low: float
    high: float
    n: int

    @property
    def title(self) -> str:
        """Its name for people, without the side."""
        return title(self.key, self.scenario, self.policy)


def title(key: str, scenario: str, policy: str) -> str:
    """As in "account set-up: median response"."""
    about = f"{formatting.scenario(scenario)}: " if scenario else ""
    return f"{about}{_name(key)}{f', {formatting.policy(policy)}' if policy else ''}"


def formatted(value: float, key: str) -> str:
    """A value of the figure `key` with its unit; ages, which differ little, with four digits."""
    if key.startswith("lost_"):
        return formatting.percent(value)
    if key == "pss":
        return f"{formatting.number(value)} MB"
    return formatting.age(value) if key == "age_p99" else formatting.ms(value)


def figures(run: Run) -> list[Figure]:
    """Every key figure that the run has; sides are in the order of the schema."""
    return [*_medians(run), *_ages(run), *_losses(run), *_memory(run)]


def _name(key: str) -> str:
    names = {
        "response_p50": "median response",
        "caller_p50": "median caller cost",
        "age_p99": "age p99",
        "pss": "memory (PSS)",
    }
    if key.startswith("lost_"):
        return f"lost at {formatting.FAULT_NAMES[int(key.removeprefix('lost_'))]}"
    return names[key]


def _medians(run: Run) -> Iterator[Figure]:
    latency = run.table("latency").dropna(subset=["value_ms"])
    found = latency[(latency["quantile"] - formatting.MEDIAN).abs() < evidence.ROUNDING]
    for (scenario, metric), group in groups(found, "scenario", "metric"):
        if metric in MEDIANS:
            yield from _by_side(group, "value_ms", key=MEDIANS[metric], scenario=str(scenario), unit="ms")


def _memory(run: Run) -> Iterator[Figure]:
    yield from _by_side(run.table("cost"), "pss_mb", key="pss", scenario="", unit="MB")


def _by_side(rows: pd.DataFrame, column: str, *, key: str, scenario: str, unit: str) -> Iterator[Figure]:
    for side in SIDES:
        values = rows[rows["side"] == side][column].dropna()
        if len(values):
            yield Figure(
                key=key,
                scenario=scenario,
                side=side,
                policy="",
                unit=unit,
                value=evidence.middle(values),
                low=float(values.min()),
                high=float(values.max()),
                n=len(values),
            )


def _ages(run: Run) -> Iterator[Figure]:
    found = evidence.freshness(run.table("drift"))
    for item in sorted((item for item in found if item.side in SIDES), key=lambda i: SIDES.index(i.side)):
        yield Figure(
            key="age_p99",
            scenario="account_sync",
            side=item.side,
            policy=item.policy,
            unit="ms",
            value=item.age_p99_ms,
            low=item.age_p99_low_ms,
            high=item.age_p99_high_ms,
            n=item.runs,
        )


def _losses(run: Run) -> Iterator[Figure]:
    for fault in KILLS:
        for side in SIDES:
            found = evidence.losses(run, scenario=KEPT, fault=fault, side=side)
            if found is None or not found.exposed:
                continue
            yield Figure(
                key=f"lost_{fault}",
                scenario=KEPT,
                side=side,
                policy="",
                unit="share",
                value=found.share if found.checked or found.lost else math.nan,
                low=found.share,
                high=formatting.upper_bound(found.strikes_with_loss, found.strikes),
                n=found.exposed,
            )
