"""Latency: from the plan's moment to the effect, and every stage on the way.

| metric      | from → to           | never came                                             |
|-------------|---------------------|--------------------------------------------------------|
| response    | due → effect        | inf, whatever the reason: failed, refused, unknown too |
| uncorrected | submit → effect     | inf; where nothing was submitted, does not apply       |
| caller      | submit → accepted   | inf                                                    |
| pickup      | due → first start   | inf; for a job with an effect, does not apply          |
| service     | start → done        | inf; where nothing started, does not apply             |
| seen        | due → done          | inf; only where response has no value (see below)      |
| request     | due → response      | inf                                                    |
| lateness    | due → request       | inf: the generator never sent it                       |

"Does not apply" is NaN in the frames of jobs and is left out of the quantiles. The service of a
job that was retried is that of the attempt that got done.

A metric between two events that two hosts stamped is NaN for the whole block. Where that is the response,
`seen` replaces it where the caller's host stamped `done`: it ends when the side itself was done.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from bench.measures.events.block import Block, Event, elapsed_ms
from bench.measures.events.clocks import Clocks
from bench.measures.events.history import DUE, JobHistory, histories, request_of
from bench.measures.statistics.quantiles import quantiles
from bench.schema import TABLES

#: What stands in the column `scenario` of a figure that belongs to the whole app.
WHOLE_APP = "all"
#: What stands in the column `status` of a request that got no answer.
NO_ANSWER = 0

#: The events that each metric of a job may lie between.
_JOB_METRICS = {
    "response": (*DUE, "effect"),
    "uncorrected": ("submit", "effect"),
    "caller": ("submit", "accepted"),
    "pickup": (*DUE, "start"),
    "service": ("start", "done"),
    "seen": (*DUE, "done"),
}
_REQUEST_METRICS = {"request": "latency_ms", "lateness": "lateness_ms"}


def job_frame(events: Iterable[Event], block: Block) -> pd.DataFrame:
    """`TABLES["jobs"]`: one row a job that was due inside the block's window."""
    seen = list(events)
    clocks = Clocks(seen)
    rows = [
        _job_row(job, block, due)
        for job in histories(seen).values()
        if (due := job.due) is not None and block.holds(due)
    ]
    frame = pd.DataFrame(rows, columns=list(TABLES["jobs"]))
    unknown = [f"{metric}_ms" for metric, ends in _JOB_METRICS.items() if not clocks.shared(*ends)]
    if clocks.shared(*_JOB_METRICS["response"]):
        unknown.append("seen_ms")
    frame[unknown] = math.nan
    return frame


def request_frame(events: Iterable[Event], block: Block) -> pd.DataFrame:
    """`TABLES["requests"]`: one row a request that was due inside the block's window."""
    rows: dict[tuple[str, str], dict[str, object]] = {}
    for event in sorted(events, key=lambda event: int(event["t"])):
        if "request" not in event:
            continue
        key = (str(event["scenario"]), str(event["request"]))
        if event["event"] == "due" and block.holds(event["t"]):
            rows.setdefault(key, _request_row(block, *key, event["t"]))
        elif key in rows:
            _fill_request(rows[key], event)
    return pd.DataFrame(list(rows.values()), columns=list(TABLES["requests"]))


def latency_frame(jobs: pd.DataFrame, requests: pd.DataFrame, block: Block) -> pd.DataFrame:
    """Return `TABLES["latency"]`: each quantile of every metric that has requests enough, by scenario."""
    rows: list[dict[str, object]] = []
    for scenario, group in jobs.groupby("scenario"):
        by_request = group.assign(request=[request_of(str(scenario), job) for job in group["job"]])
        for metric in _JOB_METRICS:
            values = by_request.dropna(subset=[f"{metric}_ms"])
            samples = values["request"].nunique()
            rows += _quantile_rows(block, str(scenario), metric, values[f"{metric}_ms"], samples)
    for scenario, group in requests.groupby("scenario"):
        for metric, column in _REQUEST_METRICS.items():
            rows += _quantile_rows(block, str(scenario), metric, group[column], len(group))
    return pd.DataFrame(rows, columns=list(TABLES["latency"]))


def host_tax_frame(
    loaded: Sequence[tuple[int, float]], idle: Sequence[tuple[int, float]], block: Block
) -> pd.DataFrame:
    """`TABLES["latency"]` with the metric `host_tax`: the app's own lag under load, minus the idle control's.

    Both are lists of (t in ns, lag in ms) of the app's 10 ms ticker; `idle` is the window before the
    load. A quantile needs samples enough in both. Noise can make it slightly negative.
    """
    control = quantiles(lag for _, lag in idle)
    inside = quantiles(lag for t, lag in loaded if block.holds(t))
    n = min(len(idle), sum(block.holds(t) for t, _ in loaded))
    rows = [
        _latency_row(block, WHOLE_APP, "host_tax", q=q, value=value - control[q], n=n, requests=n)
        for q, value in inside.items()
        if q in control
    ]
    return pd.DataFrame(rows, columns=list(TABLES["latency"]))


def unsent(requests: pd.DataFrame) -> str:
    """How many requests the generator never sent (`TABLES["requests"]`), in words; empty for none."""
    count = int(np.isinf(requests["lateness_ms"].to_numpy(dtype=np.float64)).sum())
    return f"the generator left out {count} requests: too many were open" if count else ""


def outcome(job: JobHistory) -> str:
    """What became of a job: done | refused | failed | unknown | unfinished. An effect outranks the rest."""
    if "effect" in job.times:
        return "done"
    if "refused" in job.times:
        return "refused"
    if "failed" in job.times:
        return "failed"
    if "accepted" not in job.times and ("unknown" in job.times or "submit" in job.times):
        return "unknown"
    return "unfinished"


def _job_row(job: JobHistory, block: Block, due: int) -> dict[str, object]:
    effect, submit = job.first("effect"), job.first("submit")
    pickup = elapsed_ms(due, job.first("start"))
    return {
        "block": block.block,
        "side": block.side,
        "scenario": job.scenario,
        "job": job.job,
        "due_ns": due,
        "response_ms": elapsed_ms(due, effect),
        "uncorrected_ms": elapsed_ms(submit, effect),
        "caller_ms": elapsed_ms(submit, job.first("accepted")),
        "pickup_ms": math.nan if math.isinf(pickup) and effect is not None else pickup,
        "service_ms": _service_ms(job),
        "seen_ms": elapsed_ms(due, job.first("done")),
        "outcome": outcome(job),
    }


def _service_ms(job: JobHistory) -> float:
    done = job.first("done")
    starts = [t for t in job.times.get("start", []) if done is None or t <= done]
    return elapsed_ms(max(starts, default=None), done)


def _request_row(block: Block, scenario: str, request: str, due: int) -> dict[str, object]:
    return {
        "block": block.block,
        "side": block.side,
        "scenario": scenario,
        "request": request,
        "due_ns": due,
        "latency_ms": math.inf,
        "lateness_ms": math.inf,
        "status": NO_ANSWER,
    }


def _fill_request(row: dict[str, object], event: Event) -> None:
    since_due = elapsed_ms(int(str(row["due_ns"])), int(event["t"]))
    if event["event"] == "request" and row["lateness_ms"] == math.inf:
        row["lateness_ms"] = since_due
    elif event["event"] == "response" and row["status"] == NO_ANSWER:
        row.update(latency_ms=since_due, status=int(event["status"]))


def _quantile_rows(
    block: Block, scenario: str, metric: str, values: pd.Series[float], requests: int
) -> list[dict[str, object]]:
    return [
        _latency_row(block, scenario, metric, q=q, value=value, n=len(values), requests=requests)
        for q, value in quantiles(values, samples=requests).items()
    ]


def _latency_row(
    block: Block, scenario: str, metric: str, *, q: float, value: float, n: int, requests: int
) -> dict[str, object]:
    return {
        "block": block.block,
        "side": block.side,
        "scenario": scenario,
        "repetition": block.repetition,
        "metric": metric,
        "quantile": q,
        "value_ms": value,
        "n": n,
        "requests": requests,
    }
