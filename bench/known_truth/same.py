"""A/A: one side against itself. Seeded runs resampled from the windows of one long real block.

A long block of `truth-base` is cut into short windows. Each A/A run takes windows two by two, in
the order of time (so that a drift of the machine hits both), calls one of each pair A and the
other B by a seeded coin, and goes through `bench.measures.comparison` as any two sides do. They
are no fresh processes: what differs between two starts of the same program is not in them.
"""

from __future__ import annotations

import random

import pandas as pd

from bench.measures.comparison import comparisons
from bench.measures.quantiles import MINIMUM_SAMPLES, quantile

#: Pairs of windows in one A/A run, as in a full run.
PAIRS = 10
#: The figures that are compared: what a window has samples enough for.
QUANTILES = (0.5, 0.9)


def windows(jobs: pd.DataFrame, count: int) -> pd.DataFrame:
    """The responses of `jobs` cut into `count` windows of equal time.

    Columns window, scenario, quantile and value_ms. A quantile needs samples enough, else it is left out.
    """
    start, end = int(jobs["due_ns"].min()), int(jobs["due_ns"].max()) + 1
    cut = jobs.assign(window=(jobs["due_ns"] - start) * count // (end - start))
    rows = [
        {"window": window, "scenario": scenario, "quantile": q, "value_ms": quantile(group["response_ms"], q)}
        for (window, scenario), group in cut.groupby(["window", "scenario"])
        for q in QUANTILES
        if len(group) >= MINIMUM_SAMPLES[q]
    ]
    return pd.DataFrame(rows, columns=["window", "scenario", "quantile", "value_ms"])


def is_called_different(cut: pd.DataFrame, figure: tuple[str, float], seed: int) -> bool:
    """One A/A run of a figure (scenario, quantile): whether the comparison says lower or higher."""
    values = cut[(cut["scenario"] == figure[0]) & (cut["quantile"] == figure[1])].sort_values("window")
    draw = random.Random(f"a/a/{seed}")  # noqa: S311 - no secret
    pairs = len(values) // 2
    rows = []
    for repetition, pair in enumerate(sorted(draw.sample(range(pairs), min(PAIRS, pairs)))):
        two = values.iloc[2 * pair : 2 * pair + 2].assign(repetition=repetition)
        rows.append(two.assign(side=draw.choice([["A", "B"], ["B", "A"]])))
    blocks = pd.concat(rows).assign(metric="response", block="window")
    said = comparisons(blocks, baseline="A", sides=("A", "B"))["words"]
    return bool(said.isin(["lower", "higher"]).any())


def called_different(cut: pd.DataFrame, runs: int) -> dict[tuple[str, float], int]:
    """For each figure the number of the seeded runs that called it different."""
    figures = sorted(set(zip(cut["scenario"], cut["quantile"], strict=True)))
    return {figure: sum(is_called_different(cut, figure, seed) for seed in range(runs)) for figure in figures}
