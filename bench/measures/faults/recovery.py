"""Recovery: how long after a fault's end a scenario is as it was before the fault.

The baseline is the part of the block before the fault. `inf` means "not within this block"; NaN means "this
block cannot show it": nothing ran before the fault, no load was left after it, or two hosts stamped the
events. The fault's moments are those of the clock that stamped the effects.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.measures.events.block import NS_PER_MS, NS_PER_S, Event
from bench.measures.events.clocks import Clocks, host_of
from bench.measures.events.history import DUE, JobHistory, histories
from bench.measures.faults.failure import acceptance, classify
from bench.measures.statistics.quantiles import quantile

#: Share of the baseline rate that counts as back.
BACK = 0.90
#: Seconds for which it must be back.
SUSTAIN_S = 3.0
_SUSTAIN_NS = int(SUSTAIN_S * NS_PER_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """Seconds after the fault's end."""

    #: To the next effect.
    t_first_s: float = math.nan
    #: To the beginning of the first 3 s with at least 90 % of the baseline rate.
    t_90_s: float = math.nan
    #: To the beginning of the first 3 s in which no job that waits is older than the baseline's p99.
    t_clear_s: float = math.nan


def recovery(events: Sequence[Event], scenario: str) -> Recovery:
    """Return how the scenario's jobs recovered from the block's fault; all NaN without a fault."""
    clocks = Clocks(events)
    marks = [event for event in events if not (by := clocks.hosts("effect")) or host_of(event) in by]
    on = min((int(event["t"]) for event in marks if event["event"] == "fault_on"), default=None)
    off = max((int(event["t"]) for event in marks if event["event"] == "fault_off"), default=None)
    if on is None or off is None or not clocks.shared("effect"):
        return Recovery()
    jobs = [
        job
        for job in histories(events).values()
        if job.scenario == scenario and job.due is not None and acceptance(job) == "accepted"
    ]
    effects = sorted(t for job in jobs for t in job.times.get("effect", ()))
    dues = sorted(job.due for job in jobs if job.due is not None)
    if not clocks.shared(*DUE, "effect"):
        return Recovery(t_first_s=_t_first(jobs, effects, off))
    return Recovery(
        t_first_s=_t_first(jobs, effects, off),
        t_90_s=_t_90(effects, dues, on, off),
        t_clear_s=_t_clear(jobs, on, off),
    )


def _t_first(jobs: Iterable[JobHistory], effects: Sequence[int], off: int) -> float:
    after = [t for t in effects if t >= off]
    if after:
        return (after[0] - off) / NS_PER_S
    return math.inf if any("effect" not in job.times for job in jobs) else math.nan


def _t_90(effects: Sequence[int], dues: Sequence[int], on: int, off: int) -> float:
    if not dues or dues[0] >= on or dues[-1] < off + _SUSTAIN_NS:
        return math.nan
    before = sum(t < on for t in effects)
    needed = BACK * before * _SUSTAIN_NS / (on - dues[0])  # in this order a whole number stays whole
    after = np.array([t for t in effects if t >= off])
    for end in after:  # the count of a window only grows at an effect, so windows that end at one suffice
        start = max(off, int(end) - _SUSTAIN_NS)
        if ((after >= start) & (after <= end)).sum() >= needed:
            return (start - off) / NS_PER_S
    return math.inf


def _t_clear(jobs: Iterable[JobHistory], on: int, off: int) -> float:
    waited = [job for job in jobs if classify(job) not in {"lost", "failed_visibly"}]
    spans = sorted(((job.due or 0, job.first("effect")) for job in waited), key=lambda span: span[0])
    before = [(done - due) / NS_PER_MS for due, done in spans if done is not None and done < on]
    if not before:
        return math.nan
    limit = int(quantile(before, 0.99) * NS_PER_MS)
    # A job is too old from due + limit until its effect. Cleared: 3 s in a row outside all such spans.
    clear = off
    for due, done in spans:
        if done is not None and (done <= clear or done <= due + limit):
            continue
        if due + limit >= clear + _SUSTAIN_NS:
            break
        if done is None:
            return math.inf
        clear = done
    return (clear - off) / NS_PER_S
