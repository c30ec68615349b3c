"""Thresholds on a run, as text, in k6's manner: what holds or the build fails.

    p90(response) < 200ms
    p50(response){scenario=welcome_email, side=inprocess} <= 0.1s
    lost == 0
    max(age_max_ms){policy=anchored} < 3s
    p50(response){inprocess/celery-hardened} < 0.5

One side of one scenario (and policy, and fault) is one subject. A threshold applies to every
subject that its filter leaves, and each must meet it. What was not measured meets nothing.

| metric                        | where               | without an aggregate                      |
|-------------------------------|---------------------|-------------------------------------------|
| response, request, caller, …  | latency.csv         | must have one: p50, p90, p95, p99, p99.9  |
| lost, duplicated, t_90_s, …   | failures.csv        | the sum of counts, else the largest       |
| missed, drift_ppm, …          | drift.csv           | the sum of counts, else the largest       |
| pss_mb, cpu_s_per_1000, …     | cost.csv            | the median                                |

A quantile is that of docs/method.md: taken in each block that has requests enough for it; the subject's is
the median over its blocks that count. sum, min, median and max go over the rows of a table. A number
without a unit is in the metric's own (ms for latency); with one it is converted: us, ms, s, MB, ppm, %.

`{one/other}` (or `side=one/other`) is the ratio of two sides, without a unit: the median of the ratios of
blocks that are paired (one repetition) where the table has pairs, else the ratio of the two figures. What
became of a threshold is `bench.analysis.threshold_results`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import get_args

from bench.errors import BenchError
from bench.schema import (
    METRIC_LABELS,
    MINIMUM_SAMPLES,
    SCHEMA,
    SIDES,
    SUBJECTS,
    TABLES,
    THRESHOLD_METRICS,
    Aggregate,
)

#: `p99` → 0.99.
QUANTILES = {f"p{100 * q:g}": q for q in MINIMUM_SAMPLES}
#: What goes before a metric that is no distribution.
AGGREGATES: tuple[str, ...] = get_args(Aggregate)
#: What a number may be written in, by the unit of its metric, with the factor to that unit.
_UNITS: Mapping[str, Mapping[str, float]] = {
    "ms": {"us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3},
    "s": {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0},
    "MB": {"MB": 1.0},
    "ppm": {"ppm": 1.0},
    "%": {"%": 1.0},
}
_SHAPE = re.compile(
    r"\s*(?:(?P<aggregate>[a-z][\w.]*)\s*\(\s*(?P<inner>\w+)\s*\)|(?P<metric>\w+))"
    r"\s*(?:\{(?P<filter>[^}]*)\})?"
    r"\s*(?P<operator><=|>=|==|!=|<|>)"
    r"\s*(?P<number>[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*(?P<unit>[a-zA-Zµ%]*)\s*"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """One line of text, understood; `limit` is in the metric's own unit."""

    text: str
    table: str
    metric: str
    aggregate: str
    subjects: Mapping[str, str]
    #: The two sides whose ratio is meant, or None.
    ratio: tuple[str, str] | None = None
    operator: str
    limit: float


def parse(text: str) -> Threshold:
    """Understand a threshold; raise BenchError that says what is wrong and what is near."""
    found = _SHAPE.fullmatch(text)
    if found is None:
        raise BenchError(
            f"the threshold {text!r} cannot be read: write it as 'p90(response) < 200ms' or 'lost == 0'"
        )
    metric = found["inner"] or found["metric"]
    table = _table_of(metric, text)
    subjects = dict(_filter(found["filter"] or "", table, text))
    ratio = _ratio(subjects.pop("side", ""), text) if "/" in subjects.get("side", "") else None
    if ratio and found["unit"]:
        raise BenchError(f"{_in(text)}a ratio of two sides has no unit: leave out {found['unit']!r}")
    return Threshold(
        text=text.strip(),
        table=table,
        metric=metric,
        aggregate=_aggregate(found["aggregate"], metric, table, text),
        subjects=subjects,
        ratio=ratio,
        operator=found["operator"],
        limit=float(found["number"]) * _factor(found["unit"], metric, table, text),
    )


def metrics() -> dict[str, str]:
    """Every metric that a threshold may name, and its table."""
    columns = {
        column.name: table.name for table in SCHEMA.values() for column in table.columns if column.threshold
    }
    return columns | dict.fromkeys(THRESHOLD_METRICS, "latency")


def _table_of(metric: str, text: str) -> str:
    known = metrics()
    if metric not in known:
        unusable = _unusable(metric) or f"no metric is called {metric!r}"
        raise BenchError(f"{_in(text)}{unusable}: {_nearest(metric, known)}")
    return known[metric]


def _unusable(metric: str) -> str:
    """Why a threshold cannot name a column or metric that a run has; empty where no run has it."""
    places = [table for table in SCHEMA.values() if metric in table.names]
    if any(table[metric].dtype in {"integer", "number"} for table in places):
        return f"{metric} of {places[0].name}.csv is no figure that a threshold can name"
    if places:
        return f"{metric} of {places[0].name}.csv is no number"
    return f"{metric} is no figure of latency.csv" if metric in METRIC_LABELS else ""


def _aggregate(name: str | None, metric: str, table: str, text: str) -> str:
    if table == "latency":
        if name in QUANTILES:
            return name
        raise BenchError(
            f"{_in(text)}{metric} is a distribution, say which quantile: p90({metric}) or another of "
            f"{', '.join(QUANTILES)}"
        )
    if name is None:
        return SCHEMA[table][metric].threshold or ""
    if name not in AGGREGATES:
        raise BenchError(f"{_in(text)}{name}({metric}) cannot be had: choose from {', '.join(AGGREGATES)}")
    return name


def _filter(text: str, table: str, whole: str) -> Iterator[tuple[str, str]]:
    allowed = [name for name in SUBJECTS if name in TABLES[table]]
    for part in filter(None, (part.strip() for part in text.split(","))):
        named = part if "=" in part or "/" not in part else f"side={part}"
        name, sign, value = (piece.strip() for piece in named.partition("="))
        if name not in allowed or not sign or not value:
            raise BenchError(f"{_in(whole)}{part!r} is no filter: write {allowed[0]}=…; {', '.join(allowed)}")
        yield name, value


def _ratio(sides: str, text: str) -> tuple[str, str]:
    one, _, other = (name.strip() for name in sides.partition("/"))
    for name in (one, other):
        if name not in SIDES:
            raise BenchError(f"{_in(text)}no side is called {name!r}: {_nearest(name, SIDES)}")
    return one, other


def _unit_of(metric: str, table: str) -> str:
    """The metric's own unit; empty for a count."""
    return SCHEMA[table]["value_ms" if table == "latency" else metric].unit


def _factor(unit: str, metric: str, table: str, text: str) -> float:
    if not unit:
        return 1.0
    factors = _UNITS.get(_unit_of(metric, table), {})
    if unit not in factors:
        right = "us, ms or s" if "ms" in factors else next(iter(factors), "a bare number")
        raise BenchError(f"{_in(text)}{metric} is not measured in {unit!r}: use {right}")
    return factors[unit]


def _nearest(metric: str, known: Iterable[str]) -> str:
    near = get_close_matches(metric, list(known), n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(sorted(known))}"


def _in(text: str) -> str:
    return f"in the threshold {text.strip()!r}: "
