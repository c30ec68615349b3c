from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.measures.statistics.comparison import comparisons, noise_floor, pair_blocks
from bench.measures.statistics.interval import CONFIDENCE, paired, unpaired
from bench.measures.statistics.verdict_words import (
    FELT,
    Comparison,
    call_differences,
    holm,
    margin_ms,
    measure_difference,
)
from bench.schema import TABLES

A = [100.0, 101, 99, 100, 102]


def classify_difference(baseline: Sequence[float], side: Sequence[float], **options: Any) -> Comparison:
    """The words of one comparison that is called alone."""
    return call_differences([measure_difference(baseline, side, **options)])[0]


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
    assert ours.p == pytest.approx(float(stats.ttest_1samp(one, 0.0).pvalue), rel=1e-6)
    ours = unpaired(one, other)
    welch = stats.ttest_ind(one, other, equal_var=False)
    theirs = welch.confidence_interval(CONFIDENCE)
    assert (ours.low, ours.high) == pytest.approx(np.exp([theirs.low, theirs.high]), rel=1e-6)
    assert ours.p == pytest.approx(float(welch.pvalue), rel=1e-6)


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


def test_a_sure_difference_within_the_margin_is_no_clear_difference_however_wide_its_interval() -> None:
    found = classify_difference([1.0] * 5, [1.4, 2.4, 1.6, 2.2, 1.3])
    assert 1 < found.low < found.high / 1.5
    assert found.words == "no clear difference"


@pytest.mark.parametrize("pairs", [3, 0])
def test_too_few_pairs_are_called_that_and_say_how_many_are_needed(pairs: int) -> None:
    found = classify_difference(A[:pairs], [200.0, 202, 198][:pairs])
    assert (found.words, found.pairs, found.pairs_needed) == ("too few pairs", pairs, 4)
    assert f"{pairs} of 4 pairs" in found.why
    assert math.isnan(found.p)


def test_a_ratio_is_that_of_what_was_measured_and_no_value_is_raised_to_the_hiccups() -> None:
    """The published caller cost of account set-up: 0.0669 ms in-process, 3.014 ms hardened."""
    baseline, side = [0.0649, 0.0669, 0.0689, 0.0669], [3.0, 3.014, 3.03, 3.012]
    found = classify_difference(baseline, side, metric="caller", hiccup_ms=5.0)
    assert found.ratio == pytest.approx(45.05, abs=0.1)
    assert (found.words, found.under_hiccup) == ("higher", False)
    assert found.difference_ms == pytest.approx(2.947, abs=0.001)


@pytest.mark.parametrize(("quantile", "words"), [(0.95, "higher"), (0.99, "no clear difference")])
def test_only_a_difference_of_tails_must_be_larger_than_the_machines_hiccups(
    quantile: float, words: str
) -> None:
    found = classify_difference([1.0, 1.01] * 2, [4.0, 4.01] * 2, quantile=quantile, hiccup_ms=5.0)
    assert (found.words, found.under_hiccup) == (words, quantile == 0.99)
    assert found.ratio == pytest.approx(4, rel=0.01)
    assert ("hiccup" in found.why) == (words == "no clear difference")


def test_a_tail_above_the_hiccups_is_not_marked_and_its_large_difference_is_called() -> None:
    found = classify_difference([6.0, 6.1] * 2, [20.0, 20.1] * 2, quantile=0.99, hiccup_ms=5.0)
    assert (found.words, found.under_hiccup) == ("higher", False)


def test_the_margin_is_a_tenth_or_a_millisecond_that_is_felt_or_the_clocks_resolution() -> None:
    assert [margin_ms(metric, 2.0) for metric in ("response", "request", "caller", "service")] == [
        1,
        1,
        0.2,
        0.2,
    ]
    assert margin_ms("caller", 0.0001) == 0.001
    assert margin_ms("response", 100.0) == 10
    assert {"caller", "pickup", "service"}.isdisjoint(FELT)


def p_values(size: int) -> st.SearchStrategy[list[float]]:
    return st.lists(st.one_of(st.floats(0, 1), st.just(math.nan)), min_size=size, max_size=30)


@given(p_values(1))
def test_holm_rejects_what_its_step_down_procedure_rejects(values: list[float]) -> None:
    """Holm as he wrote it: from the smallest on, reject while p is at most alpha / (hypotheses left)."""
    adjusted, alpha = holm(values), 0.05
    known = sorted((p, index) for index, p in enumerate(values) if not math.isnan(p))
    rejected = set()
    for done, (p, index) in enumerate(known):
        if p * (len(known) - done) > alpha:
            break
        rejected.add(index)
    assert {index for index, p in enumerate(adjusted) if p <= alpha} == rejected
    assert [math.isnan(p) for p in adjusted] == [math.isnan(p) for p in values]


@given(p_values(1))
def test_holm_lowers_no_p_value_keeps_their_order_and_leaves_one_alone(values: list[float]) -> None:
    adjusted = holm(values)
    pairs = sorted((p, q) for p, q in zip(values, adjusted, strict=True) if not math.isnan(p))
    assert all(p <= q <= 1 for p, q in pairs)
    assert [q for _, q in pairs] == sorted(q for _, q in pairs)
    assert holm(values[:1]) == pytest.approx(values[:1], nan_ok=True)


def test_a_difference_that_is_sure_alone_is_not_among_many() -> None:
    one = measure_difference([100.0, 102, 98, 101], [120.0, 128, 119, 131])
    alone = call_differences([one])[0]
    assert (alone.words, alone.p) == ("higher", alone.p_holm)
    among = call_differences([one] + [measure_difference(A, A)] * 99)[0]
    assert among.words == "no clear difference"
    assert among.p_holm == pytest.approx(100 * alone.p)
    assert "100 comparisons" in among.why


def test_equal_systems_are_called_different_anywhere_in_at_most_5_percent_of_pages() -> None:
    random = np.random.default_rng(4)
    pages = 0
    for _ in range(200):
        blocks = 100 * np.exp(random.normal(0, 0.2, (20, 2, 10)))
        called = call_differences([measure_difference(one.tolist(), other.tolist()) for one, other in blocks])
        pages += any(found.words in {"lower", "higher"} for found in called)
    assert pages <= 15


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
    assert (found["pairs"], found["words"]) == (0, "too few pairs")


def test_a_figure_that_only_a_third_side_has_is_compared_with_nothing() -> None:
    found = comparisons(rows(inline=A), baseline="inprocess", sides=["celery"], hiccup_ms={"x": 1.0}).iloc[0]
    assert found["words"] == "too few pairs"


def test_the_hiccups_of_the_compared_blocks_limit_tails_and_raise_no_value() -> None:
    frame = rows(inprocess=[0.1] * 4, celery=[4.0] * 4)
    hiccups = dict.fromkeys(frame["block"], 5.0)
    for quantile, words in ((0.5, "higher"), (0.99, "no clear difference")):
        tail = frame.assign(quantile=quantile)
        found = comparisons(tail, baseline="inprocess", sides=["celery"], hiccup_ms=hiccups).iloc[0]
        assert found["ratio"] == pytest.approx(40)
        assert (found["words"], found["under_hiccup"]) == (words, quantile == 0.99)


def test_the_whole_table_is_one_family() -> None:
    random = np.random.default_rng(3)
    frame = rows(
        inprocess=A, **{f"s{n}": (100 * np.exp(random.normal(0, 0.1, 5))).tolist() for n in range(9)}
    )
    found = comparisons(frame, baseline="inprocess", sides=[f"s{n}" for n in range(9)])
    assert found["p_holm"].tolist() == pytest.approx(holm(found["p"].tolist()))


def test_the_noise_floor_is_one_for_equal_blocks_and_grows_with_their_spread() -> None:
    random = np.random.default_rng(2)
    assert noise_floor([5.0] * 8) == 1
    quiet, loud = (noise_floor(100 * np.exp(random.normal(0, sd, 20))) for sd in (0.01, 0.2))
    assert 1 < quiet < 1.03 < loud
    assert noise_floor([100 * 1.05**block for block in range(8)]) < 1.1
    assert noise_floor([5.0, 5.0]) == math.inf
