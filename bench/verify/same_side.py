"""A/A: one side against itself. Seeded runs resampled from the windows of one long real block.

A long block of `truth-base` is cut into short windows. Each A/A run pairs windows in the order of time (so
that a drift of the machine affects both), labels one of each pair A and the other B by a seeded coin, and
goes through `verdict_words` as any two sides do. The windows are not fresh processes, so differences between
two starts of the same program are not tested.

The runs share their windows, but each tosses its own coins. Given the windows, and however their noise is
correlated in time, each run is therefore an independent draw, and a t-interval under random signs leaves 1
out in at most about 5 % of them (B. Efron, "Student's t-test under symmetry conditions", JASA 64, 1969). Two
things follow:

- With few pairs the coins have few outcomes, which cannot show 5 %: of 4 equal pairs 2 outcomes in 16 are
  called different. A figure with fewer than `LEAST_PAIRS` pairs is left out.
- 40 draws at 5 % give more than 2 in one verification of three. A count above 2 that chance explains is
  too noisy to say: see `most_by_chance`.

With the labels swapped every ratio must become its inverse; `label_bias` measures by how much it does not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from bench.measures.statistics.comparison import comparisons
from bench.measures.statistics.quantiles import quantile
from bench.measures.statistics.verdict_words import call_differences, measure_difference
from bench.schema import MINIMUM_SAMPLES

#: Pairs of windows in one A/A run, as in a full run.
PAIRS = 10
#: Fewest pairs that a figure must have: of 6 equal ones 2 outcomes in 64 are called different, 3 %.
LEAST_PAIRS = 6
#: The quantiles that are compared: a window has samples enough for these.
QUANTILES = (0.5, 0.9)
#: Largest share of the A/A runs that may be called different.
AA_SHARE = 0.05
#: How often, at most, an honest instrument at that share fails the check, over all its figures.
FALSE_ALARM = 0.01

_FIGURE = ["scenario", "quantile"]


def windows(jobs: pd.DataFrame, count: int) -> pd.DataFrame:
    """The responses of `jobs` cut into `count` windows of equal time.

    Columns window, scenario, quantile and value_ms. A quantile without samples enough is left out; so is a
    figure with fewer than `LEAST_PAIRS` pairs of windows.
    """
    start, end = int(jobs["due_ns"].min()), int(jobs["due_ns"].max()) + 1
    cut = jobs.assign(window=(jobs["due_ns"] - start) * count // (end - start))
    rows = [
        {"window": window, "scenario": scenario, "quantile": q, "value_ms": quantile(group["response_ms"], q)}
        for (window, scenario), group in cut.groupby(["window", "scenario"])
        for q in QUANTILES
        if len(group) >= MINIMUM_SAMPLES[q]
    ]
    found = pd.DataFrame(rows, columns=["window", "scenario", "quantile", "value_ms"])
    of_pair = found.assign(pair=found["window"] // 2).groupby([*_FIGURE, "pair"])["window"].transform("size")
    whole = found[of_pair == 2]  # noqa: PLR2004 - a pair
    windows_of = whole.groupby(_FIGURE)["window"].transform("size")
    return whole[windows_of >= 2 * LEAST_PAIRS].reset_index(drop=True)


def called_different(cut: pd.DataFrame, runs: int) -> dict[tuple[str, float], int]:
    """Return, for each figure of `windows` (scenario, quantile), how many seeded runs called it different."""
    return {
        figure: sum(_words(pairs, seed) in {"lower", "higher"} for seed in range(runs))
        for figure, pairs in _pairs(cut).items()
    }


def label_bias(cut: pd.DataFrame) -> float:
    """Return the largest factor by which B exceeds A whichever windows are labelled B; NaN without windows.

    It goes through all of `bench.measures.statistics.comparison`, from blocks to ratios.
    """
    if cut.empty:
        return math.nan
    one, other = (
        np.log(comparisons(_blocks(cut, first), baseline="A", sides=("A", "B"))["ratio"]) for first in "AB"
    )
    bias = ((one + other) / 2).dropna()
    return float(np.exp(max(bias, key=abs, default=math.nan)))


def most_by_chance(runs: int, figures: int) -> int:
    """Return the most runs that chance calls different at `AA_SHARE`; more have probability `FALSE_ALARM`.

    Of a binomial count, for the worst of `figures` (Bonferroni).
    """
    return int(stats.binom.isf(FALSE_ALARM / figures, runs, AA_SHARE))


def _pairs(cut: pd.DataFrame) -> dict[tuple[str, float], npt.NDArray[np.float64]]:
    """The values of each figure, shape (pairs, 2), in the order of time."""
    figures: Iterable[tuple[Any, pd.DataFrame]] = cut.groupby(_FIGURE)
    return {
        (str(scenario), float(q)): group.sort_values("window")["value_ms"].to_numpy().reshape(-1, 2)
        for (scenario, q), group in figures
    }


def _words(pairs: npt.NDArray[np.float64], seed: int) -> str:
    """Return the words of one run for a figure."""
    draw = np.random.default_rng(seed)
    taken = draw.permutation(len(pairs))[:PAIRS]
    labelled = draw.permuted(pairs[taken], axis=1)
    difference = measure_difference(labelled[:, 0].tolist(), labelled[:, 1].tolist())
    return call_differences([difference])[0].words


def _blocks(cut: pd.DataFrame, first: str) -> pd.DataFrame:
    """All windows as the blocks of two sides that take turns, the first of them called `first`."""
    second = "B" if first == "A" else "A"
    side = np.where(cut["window"] % 2 == 0, first, second)
    return cut.assign(metric="response", block="window", repetition=cut["window"] // 2, side=side)
