"""What the harness reported, compared with the truth. Pure: tables in, rows out.

A time may be off by 2 % or by 1 ms, whichever is larger (in the short form by 10 %), a count by nothing.
A row is too noisy to say where its block does not count, where its uncertainty is larger than the allowed
error, or where it is off by more than allowed but not by more than chance explains.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd
from scipy import stats

from bench.app.planted.truths import TRUTHS
from bench.measures.events.block import NS_PER_MS
from bench.schema import MINIMUM_SAMPLES
from bench.verify.same_side import AA_SHARE, most_by_chance

#: The stated error: this part of the truth …
ERROR_SHARE = 0.02
#: … or this many ms, whichever is larger.
ERROR_MS = 1.0
#: Confidence that a time which is not held is off by more than it may be.
CONFIDENCE = 0.95
#: Largest part of a ratio by which one of two labels may be favoured: rounding.
LABEL_BIAS_SHARE = 1e-6
#: Why an A/A row is too noisy.
TOO_FEW = "too few windows with samples enough"
#: Part of a stall by which the latency of a job that waited may be off: the jobs delay each other after it.
STALL_SHARE = 0.1
#: Ms over the whole run by which a slope may be off: it rests on every tick, a cumulative drift on two.
SLOPE_ERROR_MS = ERROR_MS / 2
#: The standard error of a slope over n ticks is √12 / n^1.5 times the phases' standard deviation, which is
#: jitter / √2.
SLOPE_SPREAD = math.sqrt(12 / 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One truth, the figure that was reported of it, and the error that is allowed."""

    truth: str
    unit: str
    expected: float
    reported: float
    allowed: float
    #: Error beyond `allowed` that chance explains.
    chance_error: float = 0.0
    #: Why the row is too noisy; empty where it is not.
    noise: str = ""

    @property
    def verdict(self) -> Literal["held", "NOT HELD", "too noisy to say"]:
        """Whether the reported figure is the truth, within the allowed error."""
        off = abs(self.reported - self.expected)
        if self.noise or self.allowed < off <= self.allowed + self.chance_error:
            return "too noisy to say"
        return "held" if off <= self.allowed else "NOT HELD"


def allowed_ms(expected_ms: float, share: float = ERROR_SHARE) -> float:
    """The stated error of a time."""
    return max(share * abs(expected_ms), ERROR_MS)


def delay(jobs: pd.DataFrame, *, noise: str = "", share: float = ERROR_SHARE) -> list[Row]:
    """`truth-delay` against `truth-base`: medians of response and of pickup.

    `jobs` has the columns of `TABLES["jobs"]` and `repetition`, the number of the pair of blocks.
    """
    expected = TRUTHS["truth-delay"].delay_ms
    return [
        _delay_row(jobs.rename(columns={f"{metric}_ms": "value"}), metric, expected, noise=noise, share=share)
        for metric in ("response", "uncorrected", "pickup")
    ]


def _delay_row(jobs: pd.DataFrame, metric: str, expected: float, *, noise: str, share: float) -> Row:
    medians = jobs.groupby(["repetition", "scenario", "side"])["value"].median().reset_index()
    by_block = medians.pivot_table(index=["repetition", "scenario"], columns="side", values="value")
    pairs = (by_block["truth-delay"] - by_block["truth-base"]).groupby("repetition").mean()
    uncertainty = max(
        within_ms([v for _, v in jobs.groupby(["scenario", "side"])["value"]]), between_ms(pairs)
    )
    found, allowed = float(pairs.mean()), allowed_ms(expected, share)
    if uncertainty > allowed and abs(found - expected) <= allowed + uncertainty:
        noise = noise or f"uncertain by {uncertainty:.1f} ms"
    truth = f"each job {expected:g} ms later: {metric}"
    return Row(
        truth=truth,
        unit="ms",
        expected=expected,
        reported=found,
        allowed=allowed,
        chance_error=uncertainty,
        noise=noise,
    )


def within_ms(groups: Sequence[pd.Series[float]]) -> float:
    """Half the 95 % interval of a mean of differences of medians, from the quartiles of the groups.

    The standard error of a median is 1.25 s / √n, and s is the interquartile range / 1.35 (both for a
    normal sample).
    """
    errors = [1.2533 * (v.quantile(0.75) - v.quantile(0.25)) / 1.349 / math.sqrt(len(v)) for v in groups]
    z = float(stats.norm.ppf((1 + CONFIDENCE) / 2))
    return z * 2 * math.sqrt(sum(error**2 for error in errors)) / len(errors)


def between_ms(pairs: pd.Series[float]) -> float:
    """Half the t-interval of the mean over pairs of blocks; 0 where there is one pair."""
    if len(pairs) < 2:  # noqa: PLR2004 - no spread from one
        return 0.0
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, len(pairs) - 1)) * float(stats.sem(pairs))


def counts(failures: pd.DataFrame) -> list[Row]:
    """`truth-count`: lost, duplicated and done once, over its scenarios, from `failures.csv`."""
    truth = TRUTHS["truth-count"]
    own = failures[failures["side"] == "truth-count"]
    accepted = int(own["accepted"].sum())
    times = [truth.times(number) for number in range(1, accepted + 1)]
    classes = {
        "lost": (f"every {truth.drop_every}th dropped: lost", times.count(0)),
        "duplicated": (f"every {truth.double_every}th doubled: duplicated", times.count(2)),
        "done_once": ("the rest: done once", times.count(1)),
    }
    return [
        Row(truth=text, unit="jobs", expected=expected, reported=float(own[column].sum()), allowed=0.0)
        for column, (text, expected) in classes.items()
    ]


def stall(
    failures: pd.DataFrame,
    jobs: pd.DataFrame,
    *,
    stalls_ns: Mapping[str, tuple[int, int]],
    base_ms: float,
    noise: str = "",
    lag_noise: str = "",
) -> list[Row]:
    """`truth-stall`: the longest lag of its loop, and both latencies of the jobs due while it was blocked.

    `stalls_ns` has the planted stall of each block as the side recorded it, from when to when. So the wait of
    each of these jobs is known: from its due time to the end of the stall. The corrected latency must add it
    to the uncorrected one, which must have none of it. Both may be off by `STALL_SHARE` of the stall, as the
    jobs that waited then run all at once and delay each other; beyond that chance explains as much again. The
    lag is that of the block in which it exceeds the stall by least: whatever else delays the loop adds to it.
    """
    own = failures[failures["side"] == "truth-stall"]
    lengths_ms = {block: (end - begin) / NS_PER_MS for block, (begin, end) in stalls_ns.items()}
    begin, end = stalls_ns[str(jobs["block"].iloc[0])]
    stall_ms = TRUTHS["truth-stall"].stall_s * 1e3
    measured = own.dropna(subset=["lag_max_ms"])
    lags = [(float(lag), lengths_ms[block]) for block, lag in measured[["block", "lag_max_ms"]].to_numpy()]
    lag_ms, length_ms = min(lags, key=lambda lag: lag[0] - lag[1], default=(math.nan, stall_ms))
    waiting = jobs[(jobs["due_ns"] >= begin) & (jobs["due_ns"] < end)]
    wait_ms = float(((end - waiting["due_ns"]) / NS_PER_MS).median())
    noise = noise or ("" if len(waiting) >= MINIMUM_SAMPLES[0.5] else "too few jobs due in the stall")
    uncorrected_ms = waiting["uncorrected_ms"]
    added_ms = float((waiting["response_ms"] - uncorrected_ms).median())
    figures = {
        "jobs due in the stall: what the corrected latency adds": (wait_ms, added_ms),
        "the same jobs: what the uncorrected one shows": (0.0, float(uncorrected_ms.median()) - base_ms),
    }
    return [
        _time("a stall of 1 s: longest lag of the loop", length_ms, lag_ms, lag_noise),
        *(
            Row(
                truth=truth,
                unit="ms",
                expected=expected_ms,
                reported=reported_ms,
                allowed=STALL_SHARE * stall_ms,
                chance_error=STALL_SHARE * stall_ms,
                noise=noise,
            )
            for truth, (expected_ms, reported_ms) in figures.items()
        ),
    ]


def drift(rows: pd.DataFrame) -> list[Row]:
    """`truth-drift`: the rate and what it came to, the median over the owners, from `drift.csv`."""
    own = rows[rows["side"] == "truth-drift"]
    ppm = TRUTHS["truth-drift"].drift_ppm
    run_s, cumulative = float(own["run_s"].median()), float(own["cumulative_ms"].median())
    allowed = max(ERROR_SHARE * ppm, SLOPE_ERROR_MS / run_s * 1e3) if run_s else math.nan
    rate = Row(
        truth="a drift of 500 ppm: rate",
        unit="ppm",
        expected=ppm,
        reported=float(own["drift_ppm"].median()),
        allowed=allowed,
        noise=jitter(own, SLOPE_SPREAD / run_s**1.5 * 1e3, allowed) if run_s else "no run",
    )
    truth = f"the same: cumulative over {run_s:.0f} s"
    return [rate, _time(truth, ppm * run_s / 1e3, cumulative, jitter(own, 1.0, ERROR_MS))]


def jitter(rows: pd.DataFrame, factor: float = 1.0, allowed: float = ERROR_MS) -> str:
    """Return why a drift block of the fake is too noisy, from `drift.csv`; empty where it is not.

    The fake keeps its period exactly, so its jitter is the machine's. `factor` times the jitter is the
    standard error of the figure, which may be at most half of what is allowed.
    """
    found = float(rows["jitter_sd_ms"].median())
    return "" if factor * found <= allowed / 2 else f"jitter of {found:.2f} ms"


def false_differences(different: Mapping[tuple[str, float], int], runs: int, *, noise: str = "") -> Row:
    """A/A: how many of the runs called a side different from itself, at the figure where most did."""
    return Row(
        truth=f"A/A over {runs} seeded runs: called different",
        unit="runs",
        expected=0.0,
        reported=float(max(different.values(), default=0)),
        allowed=math.floor(AA_SHARE * runs),
        chance_error=most_by_chance(runs, len(different)) - math.floor(AA_SHARE * runs) if different else 0.0,
        noise=noise or ("" if different else TOO_FEW),
    )


def label_bias(factor: float) -> Row:
    """A/A with the labels swapped: by how much the result favours a label, whichever blocks have it."""
    return Row(
        truth="A/A, labels swapped: one label favoured by",
        unit="%",
        expected=0.0,
        reported=100 * (factor - 1),
        allowed=100 * LABEL_BIAS_SHARE,
        noise=TOO_FEW if math.isnan(factor) else "",
    )


def _time(truth: str, expected: float, reported: float, noise: str) -> Row:
    allowed = allowed_ms(expected)
    return Row(truth=truth, unit="ms", expected=expected, reported=reported, allowed=allowed, noise=noise)
