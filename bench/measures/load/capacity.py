"""Capacity: the most that a side gets done, measured on a ramp of rates.

The ramp's steps are each so much steeper than the last; it ends when the side has not kept up in
`STEPS_BEYOND` steps in a row. The capacity is what the side got done a second beyond the last step
that held, or in that step, whichever is more: some sides get less done the higher the load. It is given
in requests of the common mix, and in jobs.

A ramp in which every step held gives a lower bound only: the generator offers no more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.measures.events.block import Block
from bench.measures.load.backlog import Backlog

#: Steps in a row that a side has not kept up with, until the ramp ends.
STEPS_BEYOND = 2
#: What limited a ramp.
BY_SIDE = "side"
BY_GENERATOR = "generator: at least so much"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: requests a second that were planned, requests that were due, and what became of them."""

    rate: float
    requests: int
    seen: Backlog

    @property
    def held(self) -> bool:
        """Whether the side kept up."""
        return not self.seen.overloaded


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What a ramp found; rates are requests a second, but for `jobs_per_s`."""

    per_s: float
    jobs_per_s: float
    #: The steepest step before the first that did not hold; NaN where not even the first held.
    held_per_s: float
    #: The first step of those that ended the ramp; NaN where all held.
    broke_per_s: float
    limited_by: str


def is_over(steps: Sequence[Step]) -> bool:
    """Whether the ramp need not go on."""
    return len(steps) >= STEPS_BEYOND and not any(step.held for step in steps[-STEPS_BEYOND:])


def capacity(steps: Sequence[Step]) -> Capacity:
    """The capacity that a ramp shows; raise ValueError for one without a step."""
    if not steps:
        raise ValueError("a ramp without a step shows no capacity")
    beyond = list(steps[-STEPS_BEYOND:]) if is_over(steps) else []
    before = list(steps[: len(steps) - len(beyond)])
    held = [step for step in before if step.held]
    jobs_per_s = max(_done_per_s(beyond), _done_per_s(held[-1:]))
    due_jobs, requests = sum(step.seen.due_jobs for step in steps), sum(step.requests for step in steps)
    return Capacity(
        per_s=jobs_per_s * requests / due_jobs if due_jobs else math.nan,
        jobs_per_s=jobs_per_s,
        held_per_s=held[-1].rate if held else math.nan,
        broke_per_s=beyond[0].rate if beyond else math.nan,
        limited_by=BY_SIDE if beyond else BY_GENERATOR,
    )


def capacity_row(block: Block, found: Capacity) -> dict[str, object]:
    """`TABLES["capacity"]`, without who used the processor."""
    return {
        "block": block.block,
        "side": block.side,
        "repetition": block.repetition,
        "capacity_per_s": found.per_s,
        "capacity_jobs_per_s": found.jobs_per_s,
        "held_per_s": found.held_per_s,
        "broke_per_s": found.broke_per_s,
        "limited_by": found.limited_by,
    }


def step_row(block: Block, number: int, step: Step) -> dict[str, object]:
    """`TABLES["ramps"]`."""
    return {
        "block": block.block,
        "side": block.side,
        "repetition": block.repetition,
        "step": number,
        "rate_per_s": step.rate,
        "seconds": step.seen.seconds,
        "due_jobs": step.seen.due_jobs,
        "done_jobs": step.seen.done_jobs,
        "backlog_start": step.seen.start,
        "backlog_end": step.seen.end,
        "oldest_s": step.seen.oldest_s,
        "held": step.held,
    }


def _done_per_s(steps: Sequence[Step]) -> float:
    seconds = sum(step.seen.seconds for step in steps)
    return sum(step.seen.done_jobs for step in steps) / seconds if seconds else 0.0
