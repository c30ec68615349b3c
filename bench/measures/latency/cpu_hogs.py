"""Responsiveness under CPU-heavy jobs: requests and the app's loop with them, and without."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from bench.ledger.job_names import MARK
from bench.measures.events.block import Block, Event
from bench.measures.latency import latency
from bench.measures.statistics.quantiles import quantiles
from bench.schema import TABLES

#: Metrics of a job or a request that heavy jobs may lengthen.
METRICS = ("response", "caller", "request")

Lags = Sequence[tuple[int, float]]


def hog_latency_frame(
    events: Iterable[Event], block: Block, lags: Lags, *, place: str, hogs: int
) -> pd.DataFrame:
    """Return `TABLES["hog_latency"]` of the requests due in the window, in which `hogs` were handed over.

    The lag of the loop is raw: the calm window stands beside it.
    """
    seen = list(events)
    frame = latency.latency_frame(latency.job_frame(seen, block), latency.request_frame(seen, block), block)
    inside = [lag for t, lag in lags if block.holds(t)]
    names = {"block": block.block, "side": block.side, "scenario": latency.WHOLE_APP, "metric": "lag"}
    counts = {"repetition": block.repetition, "n": len(inside), "requests": len(inside)}
    rows = pd.DataFrame(
        [{**names, **counts, "quantile": q, "value_ms": v} for q, v in quantiles(inside).items()]
    )
    whole = pd.concat([frame[frame["metric"].isin(METRICS)], rows], ignore_index=True)
    return whole.assign(place=place, hogs=hogs)[list(TABLES["hog_latency"])]


def lag_columns(lags: Lags, calm: Block, busy: Block) -> dict[str, float]:
    """The lag of the app's loop in both windows, for `TABLES["hogs"]`."""
    columns = {}
    for name, block in (("_calm", calm), ("", busy)):
        inside = [lag for t, lag in lags if block.holds(t)]
        columns[f"lag_p99{name}_ms"] = quantiles(inside).get(0.99, math.nan)
        columns[f"lag_max{name}_ms"] = float(np.max(inside)) if inside else math.nan
    return columns


def hogs_done(events: Iterable[Event]) -> int:
    """Heavy jobs that had their effect."""
    return len({event["job"] for event in events if event["event"] == "effect" and MARK in str(event["job"])})
