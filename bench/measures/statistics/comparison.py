"""Comparing the sides of one run: block quantiles, paired by repetition, and the A/A noise floor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.measures.statistics.interval import paired
from bench.measures.statistics.verdict_words import (
    MIN_PAIRS,
    Difference,
    call_differences,
    measure_difference,
    positive,
)
from bench.schema import TABLES

#: Metrics without a ratio: one checks the harness, the other is a difference that may be zero or less.
NOT_COMPARED = frozenset({"lateness", "host_tax"})
#: Fewest pairs of blocks of one side from which a noise floor is drawn.
MIN_FLOOR_PAIRS = 2


def comparisons(
    latency: pd.DataFrame,
    *,
    baseline: str,
    sides: Sequence[str],
    hiccup_ms: Mapping[str, float] | None = None,
    min_pairs: int = MIN_PAIRS,
) -> pd.DataFrame:
    """Return `TABLES["comparisons"]`: every figure of every side against the baseline.

    `latency` has the columns of `TABLES["latency"]` and only rows that count
    (`bench.measures.latency.validity.counted`). `hiccup_ms` gives each block's hiccup p99; their median over
    the blocks compared limits tails. Holm's correction is over the whole table.
    """
    names: list[dict[str, object]] = []
    differences: list[Difference] = []
    groups = latency[~latency["metric"].isin(NOT_COMPARED)].groupby(["scenario", "metric", "quantile"])
    for (scenario, metric, quantile), group in groups:
        for side in sides:
            if side == baseline:
                continue
            pairs = pair_blocks(group, baseline, side)
            blocks = group[group["side"].isin([baseline, side])]["block"]
            hiccups = [(hiccup_ms or {}).get(block, 0.0) for block in blocks]
            found = measure_difference(
                pairs["baseline"].tolist(),
                pairs["side"].tolist(),
                metric=str(metric),
                quantile=float(str(quantile)),
                hiccup_ms=float(np.median(hiccups)) if hiccups else 0.0,
                min_pairs=min_pairs,
            )
            figure = {"scenario": scenario, "metric": metric, "quantile": quantile}
            names.append(figure | {"baseline": baseline, "side": side})
            differences.append(found)
    called = call_differences(differences)
    rows = [name | asdict(comparison) for name, comparison in zip(names, called, strict=True)]
    return pd.DataFrame(rows, columns=list(TABLES["comparisons"]))


def pair_blocks(rows: pd.DataFrame, baseline: str, side: str) -> pd.DataFrame:
    """Return one row a repetition that both sides have, with columns `baseline` and `side` in ms.

    A side that ran twice in a repetition counts with the geometric mean of its blocks.
    """
    logs = rows.assign(log=np.log(positive(rows["value_ms"].to_numpy(dtype=np.float64))))
    means = np.exp(logs.groupby(["side", "repetition"])["log"].mean())
    columns = {
        name: means.xs(key) if key in means.index.get_level_values("side") else pd.Series(dtype="float64")
        for name, key in (("baseline", baseline), ("side", side))
    }
    return pd.DataFrame(columns).dropna()


def noise_floor(values_ms: Sequence[float] | npt.NDArray[np.float64]) -> float:
    """Return the factor by which two blocks of the same side differ by noise alone (A/A), 1.0 or more.

    `values_ms` is one figure of one side, shape (blocks,), in the order of the run. Blocks are
    taken two by two; the floor is the end of their t-interval that is farther from 1. `inf`
    where a block is, or from fewer than two pairs.
    """
    values = positive(values_ms)
    pairs = values[: values.size // 2 * 2].reshape(-1, 2)
    if len(pairs) < MIN_FLOOR_PAIRS or not np.isfinite(pairs).all():
        return float("inf")
    signs = np.where(np.arange(len(pairs)) % 2 == 0, 1.0, -1.0)  # A A' then A' A: a slow trend cancels
    found = paired(signs * np.diff(np.log(pairs), axis=1)[:, 0])
    return max(found.high, 1 / found.low)
