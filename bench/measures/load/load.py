"""A side at a share of its own capacity: whether it kept up, and only then its latency.

An overloaded block has a row of `TABLES["loads"]` with the growth of its backlog, and none in
`TABLES["load_latency"]`: its response grows as long as the load lasts, so a quantile would
only show the length of the block.
"""

from __future__ import annotations

import pandas as pd

from bench.measures.events.block import Block
from bench.measures.load.backlog import Backlog
from bench.schema import TABLES


def load_row(
    block: Block, jobs: pd.DataFrame, seen: Backlog, *, share: float, rate: float, capacity: float
) -> dict[str, object]:
    """`TABLES["loads"]`, without who used the processor; `jobs` has the columns of `TABLES["jobs"]`."""
    return {
        "block": block.block,
        "side": block.side,
        "repetition": block.repetition,
        "share": share,
        "rate_per_s": rate,
        "capacity_per_s": capacity,
        "seconds": seen.seconds,
        "due_jobs": seen.due_jobs,
        "done_jobs": seen.done_jobs,
        "refused": int((jobs["outcome"] == "refused").sum()),
        "unknown": int((jobs["outcome"] == "unknown").sum()),
        "backlog_start": seen.start,
        "backlog_end": seen.end,
        "growth_per_s": seen.growth_per_s,
        "overloaded": seen.overloaded,
        "oldest_s": seen.oldest_s,
        "cleared_s": seen.cleared_s,
    }


def load_latency_frame(latency: pd.DataFrame, seen: Backlog, *, share: float, rate: float) -> pd.DataFrame:
    """`TABLES["load_latency"]` from `TABLES["latency"]`: empty where the side did not keep up."""
    columns = list(TABLES["load_latency"])
    if seen.overloaded or latency.empty:
        return pd.DataFrame(columns=columns)
    return latency.assign(share=share, rate_per_s=rate)[columns]


def capacity_of(side: str, capacity: pd.DataFrame, blocks: pd.DataFrame) -> float:
    """The median capacity of a side over its ramps that count, requests a second; NaN where none does.

    The frames have the columns of `TABLES["capacity"]` and `TABLES["blocks"]`.
    """
    valid = blocks[blocks["valid"].astype(bool)]["block"]
    own = capacity[(capacity["side"] == side) & capacity["block"].isin(valid)]
    return float(own["capacity_per_s"].median())
