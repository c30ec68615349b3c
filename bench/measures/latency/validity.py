"""Which blocks count. The rules are declared here, before any run, and applied to all sides alike.

A block that breaks one is left out with its pair and listed with its reason; it stays on disk.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from bench.measures.events.history import jobs_of
from bench.measures.statistics.quantiles import printable, quantile
from bench.schema import MINIMUM_SAMPLES

#: Largest lateness of the generator, ms: its p99, or the highest percentile that the requests allow.
LATENESS_MS = 1.0
#: Largest such lateness, as a part of the measured median response.
LATENESS_SHARE = 0.10
#: Largest part of the processor time that a hypervisor may take away, percent. A twentieth begins to show in
#: a p95, the highest percentile of a quick block.
STEAL_PERCENT = 5.0
#: Largest p99 of the hiccup meter, ms. With a side at work on two cores the meter waits for one or two slices
#: of the scheduler, 3 to 4 ms each; above 10 ms something else used the machine.
HICCUP_P99_MS = 10.0


#: The percentile at which the generator's lateness is judged, given enough requests.
HIGHEST = 0.99


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """What was measured beside a block. NaN is "not measured" and breaks no rule."""

    lateness_ms: float = math.nan
    median_response_ms: float = math.nan
    steal_percent: float = math.nan
    hiccup_p99_ms: float = math.nan


def noise(jobs: pd.DataFrame, requests: pd.DataFrame, *, steal_percent: float, hiccup_p99_ms: float) -> Noise:
    """The noise of a block from its frames `TABLES["jobs"]` and `TABLES["requests"]`.

    The median needs no minimum of samples: it is not printed.
    """
    return Noise(
        lateness_ms=lateness_ms(requests["lateness_ms"]),
        median_response_ms=_quantile(jobs["response_ms"].dropna(), 0.5),
        steal_percent=steal_percent,
        hiccup_p99_ms=hiccup_p99_ms,
    )


def reason(noise: Noise) -> str:
    """Why the block does not count, in words; empty where it does."""
    share = LATENESS_SHARE * noise.median_response_ms
    broken = [
        (noise.lateness_ms > LATENESS_MS, f"generator late by {noise.lateness_ms:.2f} ms"),
        (noise.lateness_ms > share, f"generator late by more than {LATENESS_SHARE:.0%} of the median"),
        (noise.steal_percent > STEAL_PERCENT, f"{noise.steal_percent:.1f} % of the processor stolen"),
        (noise.hiccup_p99_ms > HICCUP_P99_MS, f"hiccups of {noise.hiccup_p99_ms:.1f} ms at p99"),
    ]
    return "; ".join(text for is_broken, text in broken if is_broken)


def discarded(blocks: pd.DataFrame, baseline: str) -> list[dict[str, str]]:
    """Each latency pair that is left out: repetition, pair, block and reason, for the manifest.

    `blocks` has the columns of `TABLES["blocks"]`. An invalid baseline takes each of its pairs along.
    """
    latency = blocks[blocks["measure"] == "latency"]
    listed = []
    for _, bad in latency[~latency["valid"].astype(bool)].iterrows():
        rivals = latency[(latency["repetition"] == bad["repetition"]) & (latency["side"] != baseline)]
        sides = list(rivals["side"]) if bad["side"] == baseline else [bad["side"]]
        listed += [
            {
                "repetition": str(bad["repetition"]),
                "pair": f"{side} / {baseline}",
                "block": str(bad["block"]),
                "reason": str(bad["reason"]),
            }
            for side in sides
        ]
    return listed


def counted(rows: pd.DataFrame, blocks: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a table whose blocks count, without quantiles of too few requests."""
    valid = rows[rows["block"].isin(blocks[blocks["valid"].astype(bool)]["block"])]
    return valid[_sampled(valid)] if "quantile" in valid else valid


def _sampled(latency: pd.DataFrame) -> pd.Series[bool]:
    """Whether each quantile has requests enough; a run without that column has `n` jobs of its requests."""
    jobs_a_request = latency["scenario"].map(lambda scenario: len(jobs_of(str(scenario), "")))
    is_of_jobs = ~latency["metric"].isin(["request", "lateness"])
    of_jobs = (latency["n"] / jobs_a_request.where(is_of_jobs, 1)).astype("float64")
    requests = latency["requests"].astype("float64").fillna(of_jobs)
    return requests >= latency["quantile"].map(MINIMUM_SAMPLES).fillna(0)


def lateness_ms(late: pd.Series[float]) -> float:
    """The lateness by which a generator is judged: its p99, or the highest percentile that is allowed."""
    allowed = [q for q in printable(late.size) if q <= HIGHEST]
    return _quantile(late, max(allowed, default=HIGHEST))


def sent_lateness_ms(late: pd.Series[float]) -> float:
    """As `lateness_ms`, of the requests that were sent: in a ramp's steps beyond the capacity.

    There a side that works within the request leaves so many open that the generator stops sending. That is
    caused by the side, and its backlog shows it.
    """
    return lateness_ms(late[late < math.inf])


def _quantile(values: pd.Series[float], q: float) -> float:
    return math.nan if values.empty else quantile(values, q)
