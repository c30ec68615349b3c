from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest

from reports.data.evidence import Comparison
from reports.data.run import read
from reports.figures.forest_sheet import Line, limits
from reports.figures.latency.forest import against_task, ends, pair_ratios
from reports.verdicts.kinds import comparison_number
from tests.reports.synthetic_run import manifest, plant


def line(middle: float, low: float, high: float, *, dots: tuple[float, ...] = ()) -> Line:
    return Line(
        heading="median response",
        side="celery-stock",
        words="higher",
        middle=middle,
        low=low,
        high=high,
        dots=dots,
    )


def comparison(metric: str, quantile: float, *, ratio: float = 2.0) -> Comparison:
    return Comparison(
        metric=metric,
        quantile=quantile,
        baseline="inprocess",
        side="celery-stock",
        pairs=4,
        ratio=ratio,
        low=ratio / 1.1,
        high=ratio * 1.1,
        difference_ms=3.0,
        words="higher",
        why="",
    )


def test_an_interval_without_end_does_not_stretch_the_axis() -> None:
    low, high = limits([line(2.0, 1e-6, 1e6, dots=(1.5, 2.5))])
    assert 0.1 < low < 1
    assert 2.5 < high < 10


def test_a_narrow_interval_is_shown_whole() -> None:
    low, high = limits([line(2.0, 1.6, 2.6)])
    assert low < 1.0
    assert high > 2.6


@pytest.mark.parametrize("middle", [1e-8, 1e8])
def test_an_absurd_ratio_is_drawn_at_the_edge(middle: float) -> None:
    low, high = limits([line(middle, 0.0, math.inf)])
    assert low > 1e-5
    assert high < 1e5


def test_only_the_median_and_the_highest_quantile_with_a_ratio_are_drawn() -> None:
    items = [comparison("response", quantile) for quantile in (0.5, 0.9, 0.95)]
    items.append(comparison("response", 0.99, ratio=math.nan))
    assert [item.quantile for item in ends(items)] == [0.5, 0.95]


def test_host_tax_has_no_ratio() -> None:
    items = [comparison("host_tax", 0.5), comparison("caller", 0.5)]
    assert [item.metric for item in against_task(items)] == ["caller"]


def test_the_dot_of_a_pair_is_the_ratio_of_what_was_measured_below_the_hiccups_too(tmp_path: Path) -> None:
    manifest(tmp_path)
    fields = {"scenario": "account_setup", "repetition": 0, "metric": "caller", "quantile": 0.5, "n": 40}
    rows = [
        {"block": "a", "side": "inprocess", "value_ms": 0.1, **fields},
        {"block": "b", "side": "celery-stock", "value_ms": 8.0, **fields},
    ]
    plant(tmp_path, "latency", rows)
    blocks = [{"block": name, "measure": "latency", "valid": True, "hiccup_p99_ms": 6.0} for name in "ab"]
    plant(tmp_path, "blocks", blocks)
    latency, item = read(tmp_path).table("latency"), comparison("caller", 0.5)
    assert pair_ratios(latency, item) == pytest.approx((80.0,))


def test_a_size_is_known_only_from_a_narrow_interval() -> None:
    assert comparison("caller", 0.5).size_known
    assert not comparison("caller", 0.5, ratio=math.nan).size_known


def test_a_verdict_has_the_margin_beside_its_words() -> None:
    found = dataclasses.replace(comparison("caller", 0.5), difference_ms=2.8, margin_ms=0.007)
    number = comparison_number(found)
    assert number is not None
    assert number.detail.startswith("higher by 2.80 ms (margin 7.00 µs); 95 % interval")
