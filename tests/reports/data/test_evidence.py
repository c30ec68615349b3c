"""What verdicts rest on: comparisons told from either side, and losses per exposed job."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pytest

from reports.data.evidence import Comparison, comparison, losses
from reports.data.run import read
from tests.reports.synthetic_run import plant

SLOWER = Comparison(
    metric="response",
    quantile=0.5,
    baseline="celery-hardened",
    side="inprocess",
    pairs=8,
    ratio=2.0,
    low=1.6,
    high=2.5,
    difference_ms=10.0,
    words="higher",
    why="",
    pairs_needed=0.0,
    margin_ms=1.0,
)


def test_a_finding_told_from_the_other_side_is_the_same_finding() -> None:
    other = SLOWER.flipped()
    assert (other.baseline, other.side, other.words) == ("inprocess", "celery-hardened", "lower")
    assert (other.ratio, other.low, other.high) == pytest.approx((0.5, 0.4, 0.625))
    assert other.difference_ms == -10.0
    assert other.low < other.ratio < other.high
    assert asdict(other.flipped()) == pytest.approx(asdict(SLOWER))
    assert (other.differs, other.size_known) == (SLOWER.differs, SLOWER.size_known)


def test_a_comparison_is_found_whichever_way_round_the_table_has_it() -> None:
    table = pd.DataFrame([asdict(SLOWER) | {"scenario": "welcome_email"}])

    def found(baseline: str, side: str, metric: str = "response") -> Comparison | None:
        return comparison(
            table, scenario="welcome_email", metric=metric, quantile=0.5, baseline=baseline, side=side
        )

    assert found("celery-hardened", "inprocess") == SLOWER
    assert found("inprocess", "celery-hardened") == SLOWER.flipped()
    assert found("inprocess", "celery-stock") is None
    assert found("inprocess", "celery-hardened", "caller") is None


@pytest.mark.parametrize(("exposed", "expected"), [(8, 8), (3, 3), (2, 3), (None, 10)])
def test_a_lost_job_was_exposed_whatever_the_table_says(
    exposed: int | None, expected: int, run: Path
) -> None:
    block = {"block": "f001", "scenario": "account_setup"}
    row = {"fault": 10, "side": "inprocess", "accepted": 10, "lost": 3, "sum_ok": True}
    plant(run, "failures", [block | row | {"at_least_once": "broken"}])
    plant(run, "exposure", [] if exposed is None else [block | {"exposed": exposed}])
    found = losses(read(run), scenario="account_setup", fault=10, side="inprocess")
    assert found is not None
    assert (found.exposed, found.share) == (expected, 3 / expected)
    assert found.state == "broken"
