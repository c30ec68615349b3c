"""The figure of a threshold (`threshold_syntax`) at each subject, and whether it meets the threshold."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from bench.analysis.threshold_syntax import QUANTILES, Threshold
from bench.measures.latency.validity import counted
from bench.schema import MINIMUM_SAMPLES, SUBJECTS
from bench.storage.run_directory import RunDirectory

_AGGREGATES: dict[str, Callable[[pd.Series[float]], float]] = {
    "sum": lambda values: float(values.sum()),
    "min": lambda values: float(values.min()),
    "median": lambda values: float(values.median()),
    "max": lambda values: float(values.max()),
}
OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdResult:
    """One threshold at one subject; `value` is NaN where nothing was measured."""

    threshold: Threshold
    subject: str
    value: float
    #: Why nothing was measured, where that is known.
    why: str = ""

    @property
    def met(self) -> bool:
        """Whether the value meets the threshold; what was not measured does not."""
        if math.isnan(self.value):
            return False
        return OPERATORS[self.threshold.operator](self.value, self.threshold.limit)

    @property
    def line(self) -> str:
        """The result as a line of text."""
        why = f", {self.why}" if self.why else ""
        value = f"not measured{why}" if math.isnan(self.value) else f"{self.value:g}"
        value = "> limit" if math.isinf(self.value) else value
        return f"{'met' if self.met else 'CROSSED':8}{self.threshold.text}: {value} ({self.subject})"


def threshold_results(run: RunDirectory, threshold: Threshold) -> list[ThresholdResult]:
    """The threshold at each subject that its filter leaves, or one that was not measured."""
    rows = _rows(run, threshold)
    by = [name for name in SUBJECTS if name in rows]
    aggregate = _AGGREGATES.get(threshold.aggregate, _AGGREGATES["median"])
    if threshold.ratio:
        found = _ratios(rows, [name for name in by if name != "side"], threshold.ratio, aggregate)
    else:
        found = {_words(keys): aggregate(group["figure"]) for keys, group in rows.groupby(by)}
    if not found:
        wanted = ", ".join((*threshold.subjects.values(), *(threshold.ratio or ()))) or "any side"
        return [ThresholdResult(threshold=threshold, subject=wanted, value=math.nan, why=_why(threshold))]
    return [ThresholdResult(threshold=threshold, subject=name, value=value) for name, value in found.items()]


def _why(threshold: Threshold) -> str:
    """Why a figure may not have been measured."""
    if threshold.table != "latency":
        return ""
    needed = MINIMUM_SAMPLES[QUANTILES[threshold.aggregate]]
    return f"{threshold.aggregate} needs {needed:,} requests in a block"


def _ratios(
    rows: pd.DataFrame, by: list[str], sides: tuple[str, str], aggregate: Callable[[pd.Series[float]], float]
) -> dict[str, float]:
    """One ratio a subject that both sides have."""
    found: dict[str, float] = {}
    for keys, group in rows.groupby(by) if by else [((), rows)]:
        one, other = (group[group["side"] == side] for side in sides)
        if not (one.empty or other.empty):
            value, how = _ratio(one, other, aggregate)
            found[" ".join(filter(None, (_words(keys), "/".join(sides), how)))] = value
    return found


def _ratio(
    one: pd.DataFrame, other: pd.DataFrame, aggregate: Callable[[pd.Series[float]], float]
) -> tuple[float, str]:
    """The median over pairs where there are any, else of the two figures; and which of them it is."""
    if "repetition" in one:
        pairs = one.merge(other, on="repetition", suffixes=("", "_other"))
        ratios = (pairs["figure"] / pairs["figure_other"]).dropna()
        if not ratios.empty:
            return float(ratios.median()), f"{len(ratios)} pairs"
    below = aggregate(other["figure"])
    return (aggregate(one["figure"]) / below if below else math.nan), "unpaired"


def _rows(run: RunDirectory, threshold: Threshold) -> pd.DataFrame:
    """The rows that the filter leaves, without what does not count, each with its `figure`."""
    rows = counted(run.table(threshold.table), run.table("blocks"))
    column = threshold.metric
    if threshold.table == "latency":
        rows = rows[rows["metric"] == threshold.metric]
        rows = rows[rows["quantile"] == QUANTILES[threshold.aggregate]]
        column = "value_ms"
    for name, value in threshold.subjects.items():
        rows = rows[rows[name].map(_word) == value]
    return rows.assign(figure=rows[column]).dropna(subset=["figure"])


def _words(keys: object) -> str:
    return " ".join(map(_word, keys if isinstance(keys, tuple) else (keys,)))


def _word(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
