"""A/A: one side against itself. Seeded runs resampled from the windows of one long real block.

A long block of `truth-base` is cut into short windows. Each A/A run takes windows two by two, in
the order of time (so that a drift of the machine hits both), calls one of each pair A and the
other B by a seeded coin, and goes through `verdict_words` as any two sides do. They are no
fresh processes: what differs between two starts of the same program is not in them.

The runs share their windows, yet their coins are their own: given the windows, whatever their
noise is and however it hangs together in time, each run is a draw of its own, and a t-interval
under coins leaves 1 out in about 5 % of them or in fewer (B. Efron, "Student's t-test under symmetry
conditions", JASA 64, 1969). Two things follow:

- So few pairs as have only a few outcomes of their coins cannot show 5 %: of 4 pairs that differ
  alike 2 outcomes in 16 are called different, all 4 one way. From fewer than `LEAST_PAIRS` nothing is said.
- A count of 40 draws of 5 % is more than 2 in one verification of three. What is more than 2, and no
  more than chance may bring, is too noisy to say: see `chance`.

With the labels swapped every ratio must turn into its inverse; `lean` is by how much it does not.
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
from bench.measures.statistics.verdict_words import classify_difference
from bench.schema import MINIMUM_SAMPLES

#: Pairs of windows in one A/A run, as in a full run.
PAIRS = 10
#: Fewest pairs that a figure must have: of 6 equal ones 2 outcomes in 64 are called different, 3 %.
LEAST_PAIRS = 6
#: The figures that are compared: what a window has samples enough for.
QUANTILES = (0.5, 0.9)
#: Most of the A/A runs that may be called different.
AA_SHARE = 0.05
#: How seldom an honest instrument at that share may be said not to be one, over all its figures.
FALSE_ALARM = 0.01

_FIGURE = ["scenario", "quantile"]


def windows(jobs: pd.DataFrame, count: int) -> pd.DataFrame:
    """The responses of `jobs` cut into `count` windows of equal time.

    Columns window, scenario, quantile and value_ms. A quantile needs samples enough, else it is left
    out; so is a figure that fewer than `LEAST_PAIRS` pairs of windows have.
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
    """For each figure of `windows` (scenario, quantile) how many seeded runs called it different."""
    return {
        figure: sum(_words(pairs, seed) in {"lower", "higher"} for seed in range(runs))
        for figure, pairs in _pairs(cut).items()
    }


def lean(cut: pd.DataFrame) -> float:
    """By what factor B comes out over A whoever is called B, where that is most; NaN: cannot be said.

    By the whole road: `bench.measures.statistics.comparison`, from blocks to ratios.
    """
    if cut.empty:
        return math.nan
    one, other = (
        np.log(comparisons(_blocks(cut, first), baseline="A", sides=("A", "B"))["ratio"]) for first in "AB"
    )
    leaning = ((one + other) / 2).dropna()
    return float(np.exp(max(leaning, key=abs, default=math.nan)))


def chance(runs: int, figures: int) -> int:
    """The most runs that chance may call different at `AA_SHARE`; more come once in 1 / `FALSE_ALARM`.

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
    """What one run says of a figure."""
    draw = np.random.default_rng(seed)
    taken = draw.permutation(len(pairs))[:PAIRS]
    labelled = draw.permuted(pairs[taken], axis=1)
    return classify_difference(labelled[:, 0].tolist(), labelled[:, 1].tolist()).words


def _blocks(cut: pd.DataFrame, first: str) -> pd.DataFrame:
    """All windows as the blocks of two sides that take turns, the first of them called `first`."""
    second = "B" if first == "A" else "A"
    side = np.where(cut["window"] % 2 == 0, first, second)
    return cut.assign(metric="response", block="window", repetition=cut["window"] // 2, side=side)
