"""Blast radius: what a fault did to the jobs of the *other* scenarios, against the control run.

The control is the same load on the same side without the fault. Every figure is struck minus
control; zero means that no other scenario was harmed. Counts are compared as shares of the submitted, since
two runs need not have offered the same number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.measures.events.block import Event, elapsed_ms
from bench.measures.events.clocks import Clocks
from bench.measures.events.history import DUE, histories
from bench.measures.faults.failure import Judgement, judge
from bench.measures.statistics.quantiles import quantile

#: Classes and flags of which the fault should cause no more in other scenarios.
HARMS = ("lost", "stuck", "failed_visibly", "duplicated", "late", "ghost")


@dataclass(frozen=True, slots=True, kw_only=True)
class Blast:
    """Struck minus control, for one scenario that is not the fault's target."""

    #: Share of the submitted jobs that came to each of `HARMS`, 0.1 is one in ten more.
    harms: dict[str, float]
    #: Share of the submitted that was refused or got no answer.
    unserved: float
    #: The median response, ms; `inf` where the median job was never done, NaN where both were not.
    response_p50_ms: float
    #: The longest lag of the app's loop, ms.
    lag_ms: float


def blast(
    struck: Sequence[Event],
    control: Sequence[Event],
    *,
    scenario: str,
    deadline_ms: float,
    struck_lag_ms: float = math.nan,
    control_lag_ms: float = math.nan,
) -> Blast:
    """Compare the jobs of `scenario` in both blocks; raise ValueError where one of them has none."""
    one, other = (judge(events, scenario=scenario, deadline_ms=deadline_ms) for events in (struck, control))
    if not (one.submitted and other.submitted):
        raise ValueError(f"{scenario} had no jobs in {'the control' if one.submitted else 'the fault block'}")
    return Blast(
        harms={name: _share(one, name) - _share(other, name) for name in HARMS},
        unserved=_unserved(one) - _unserved(other),
        response_p50_ms=_minus(_median_ms(struck, scenario), _median_ms(control, scenario)),
        lag_ms=struck_lag_ms - control_lag_ms,
    )


def _share(judged: Judgement, name: str) -> float:
    if name == "late" and not judged.timed:
        return math.nan
    return len((judged.classes | judged.flags)[name]) / judged.submitted


def _unserved(judged: Judgement) -> float:
    return 1 - len(judged.acceptance["accepted"]) / judged.submitted


def _median_ms(events: Sequence[Event], scenario: str) -> float:
    if not Clocks(events).shared(*DUE, "effect"):
        return math.nan
    own = [job for job in histories(events).values() if job.scenario == scenario and job.due is not None]
    return quantile([elapsed_ms(job.due, job.first("effect")) for job in own], 0.5)


def _minus(one: float, other: float) -> float:
    return math.nan if math.isinf(one) and math.isinf(other) else one - other
