from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bench.measures.statistics.comparison import comparisons, noise_floor, pair_blocks
from bench.measures.statistics.interval import CONFIDENCE, paired, unpaired
from bench.measures.statistics.verdict_words import classify_difference
from bench.schema import TABLES

A = [100.0, 101, 99, 100, 102]


def rows(**sides: list[float]) -> pd.DataFrame:
    """The median response of e-mail: one block a repetition and side."""
    return pd.DataFrame(
        [
            {
                "block": f"{side}{repetition}",
                "side": side,
                "scenario": "welcome_email",
                "repetition": repetition,
                "metric": metric,
                "quantile": 0.5,
                "value_ms": value,
                "n": 100,
            }
            for side, values in sides.items()
            for repetition, value in enumerate(values)
            for metric in ("response", "lateness")
        ]
    )


@pytest.mark.parametrize("seed", range(8))
def test_the_intervals_are_those_of_scipy(seed: int) -> None:
    draw = np.random.default_rng(seed)
    one, other = draw.normal(0, 1, 2 + seed), draw.normal(1, 0.3, 10 - seed)
    ours, theirs = paired(one), stats.ttest_1samp(one, 0.0).confidence_interval(CONFIDENCE)
    assert (ours.low, ours.high) == pytest.approx(
        np.exp(np.array([float(theirs.low), float(theirs.high)])), rel=1e-6
    )
    ours = unpaired(one, other)
    theirs = stats.ttest_ind(one, other, equal_var=False).confidence_interval(CONFIDENCE)
    assert (ours.low, ours.high) == pytest.approx(np.exp([theirs.low, theirs.high]), rel=1e-6)


@pytest.mark.parametrize(
    ("factor", "words"),
    [(1.0, "no clear difference"), (1.05, "no clear difference"), (1.3, "higher"), (0.7, "lower")],
)
def test_a_difference_has_words_only_beyond_the_margin(factor: float, words: str) -> None:
    assert classify_difference(A, [value * factor for value in A]).words == words


def test_a_large_ratio_of_less_than_a_millisecond_is_no_clear_difference() -> None:
    found = classify_difference([0.1] * 4, [0.9] * 4)
    assert found.words == "no clear difference"
    assert found.ratio == pytest.approx(9)
    assert "within the margin of 1 ms" in found.why


def test_an_interval_wider_than_a_factor_of_one_and_a_half_is_too_noisy_to_say() -> None:
    found = classify_difference(A, [80.0, 300, 700, 60, 900])
    assert found.low < 1 < found.high / 1.5
    assert found.words == "too noisy to say"


@pytest.mark.parametrize(("factor", "words"), [(20.0, "higher"), (0.02, "lower")])
def test_a_wide_interval_that_clears_the_margin_tells_the_direction_and_not_the_size(
    factor: float, words: str
) -> None:
    found = classify_difference(A, [factor * value for value in (80.0, 130, 100, 70, 160)])
    assert found.high / found.low > 1.5
    assert found.words == words
    assert "the size is not" in found.why


def test_a_wide_interval_beyond_one_but_within_the_margin_says_nothing() -> None:
    found = classify_difference([1.0] * 5, [1.4, 2.4, 1.6, 2.2, 1.3])
    assert 1 < found.low < found.high / 1.5
    assert found.words == "too noisy to say"


def test_too_few_pairs_are_too_noisy_to_say() -> None:
    assert classify_difference(A[:3], [200.0, 202, 198]).words == "too noisy to say"
    assert classify_difference([], []).words == "too noisy to say"


def test_no_side_is_charged_for_less_than_the_platforms_hiccup() -> None:
    found = classify_difference([0.1] * 4, [4.0] * 4, floor_ms=5.0)
    assert (found.ratio, found.words) == (1, "no clear difference")
    assert "hiccup" in found.why


def test_a_side_that_never_finished_is_higher_and_says_so() -> None:
    found = classify_difference(A, [math.inf] * 5)
    assert (found.words, found.ratio) == ("higher", math.inf)
    assert "> limit" in found.why
    assert classify_difference([math.inf] * 5, A).words == "lower"


@pytest.mark.parametrize("baseline", [A, [math.inf] * 5])
def test_infinities_that_leave_no_pair_of_numbers_are_too_noisy_to_say(baseline: list[float]) -> None:
    side = [math.inf, 100, 100, 100, math.inf]
    assert classify_difference(baseline, side).words == "too noisy to say"
    assert classify_difference([math.inf] * 5, [math.inf] * 5).words == "too noisy to say"


def test_the_abba_order_cancels_a_slow_trend_that_another_order_takes_for_a_difference() -> None:
    """Both sides take 100 ms; the machine slows by 1 % a block."""
    slow = [100 * 1.01**block for block in range(8)]
    abba = paired(np.log([slow[1] / slow[0], slow[2] / slow[3], slow[5] / slow[4], slow[6] / slow[7]]))
    aabb = paired(np.log([slow[4 + k] / slow[k] for k in range(4)]))
    assert abba.ratio == pytest.approx(1)
    assert aabb.ratio == pytest.approx(1.01**4)


def test_the_interval_covers_the_truth_about_as_often_as_it_promises() -> None:
    random = np.random.default_rng(7)
    truth, covered, replicates = 1.2, 0, 1_000
    for _ in range(replicates):
        found = paired(random.normal(math.log(truth), 0.1, 10))
        covered += found.low <= truth <= found.high
    assert covered / replicates == pytest.approx(0.95, abs=0.021)  # three standard errors


def test_equal_systems_are_called_different_in_at_most_5_percent_of_runs() -> None:
    random = np.random.default_rng(11)
    called = sum(
        classify_difference(*(100 * np.exp(random.normal(0, 0.1, (2, 10)))).tolist()).words
        in {"lower", "higher"}
        for _ in range(1_000)
    )
    assert called <= 50


def test_welch_agrees_with_the_pairs_on_independent_blocks() -> None:
    random = np.random.default_rng(3)
    base, side = random.normal(0, 0.1, 200), random.normal(0.5, 0.1, 200)
    assert unpaired(side, base).ratio == pytest.approx(paired(side - base).ratio)
    assert unpaired(side, base).width == pytest.approx(paired(side - base).width, rel=0.1)


def test_one_block_has_no_interval() -> None:
    assert paired([0.5]).width == math.inf
    assert unpaired([0.5], [0.2, 0.3]).width == math.inf


def test_blocks_are_paired_by_repetition_and_a_lost_partner_leaves_the_pair_out() -> None:
    frame = rows(inprocess=A, celery=[200.0, 202, 198, 200, 204])
    without = frame[frame["block"] != "celery2"]
    response = without[without["metric"] == "response"]
    assert list(pair_blocks(response, "inprocess", "celery").index) == [0, 1, 3, 4]
    found = comparisons(without, baseline="inprocess", sides=["inprocess", "celery"]).iloc[0]
    assert (found["pairs"], found["words"]) == (4, "higher")
    assert found["ratio"] == pytest.approx(2)


def test_the_table_has_its_columns_and_leaves_the_generators_lateness_out() -> None:
    frame = comparisons(rows(inprocess=A, celery=A), baseline="inprocess", sides=["celery"])
    assert list(frame.columns) == list(TABLES["comparisons"])
    assert list(frame["metric"]) == ["response"]


def test_a_side_that_did_not_run_has_no_pairs() -> None:
    found = comparisons(rows(inprocess=A), baseline="inprocess", sides=["celery"]).iloc[0]
    assert (found["pairs"], found["words"]) == (0, "too noisy to say")


def test_the_hiccups_of_the_compared_blocks_are_the_floor() -> None:
    frame = rows(inprocess=[0.1] * 4, celery=[4.0] * 4)
    hiccups = dict.fromkeys(frame["block"], 5.0)
    found = comparisons(frame, baseline="inprocess", sides=["celery"], hiccup_ms=hiccups).iloc[0]
    assert found["ratio"] == 1


def test_the_noise_floor_is_one_for_equal_blocks_and_grows_with_their_spread() -> None:
    random = np.random.default_rng(2)
    assert noise_floor([5.0] * 8) == 1
    quiet, loud = (noise_floor(100 * np.exp(random.normal(0, sd, 20))) for sd in (0.01, 0.2))
    assert 1 < quiet < 1.03 < loud
    assert noise_floor([100 * 1.05**block for block in range(8)]) < 1.1
    assert noise_floor([5.0, 5.0]) == math.inf
