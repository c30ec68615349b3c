"""The plan of a ramp: steps of so many seconds, each so much steeper than the last. Pure and seeded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Protocol

from bench.load.load_plan import MAX_RATE, LoadPlan

#: Requests a second of the first step, all scenarios together.
FIRST_RATE = 24.0
#: How much steeper each step is than the one before.
FACTOR = 1.25


@dataclass(frozen=True, slots=True, kw_only=True)
class RampStep:
    """One step of the plan: its rate, when it begins and ends (ns after the plan's zero), its requests."""

    rate: float
    start_ns: int
    end_ns: int
    requests: int


def rates(first: float = FIRST_RATE, factor: float = FACTOR, top: float = MAX_RATE) -> list[float]:
    """The rate of each step, up to the most that one generator offers."""

    def rising() -> Iterator[float]:
        rate = first
        while True:
            yield rate
            rate *= factor

    return list(takewhile(lambda rate: rate <= top, rising()))


class LoadPlanner(Protocol):
    """Plans `seconds` of load at `rate` a second, with periodic `owners` beside it or without."""

    def __call__(self, *, seed: int, prefix: str, seconds: float, rate: float, owners: bool) -> LoadPlan:
        """The plan."""


def make_ramp(load: LoadPlanner, *, seed: int, prefix: str, step_s: float) -> tuple[LoadPlan, list[RampStep]]:
    """The plan, its owners synced from its start to its end, and its steps, each a `load` of its own."""
    step_ns = int(step_s * 1e9)
    steps = [
        load(seed=seed + number, prefix=f"{prefix}-s{number:02}", seconds=step_s, rate=rate, owners=False)
        for number, rate in enumerate(rates())
    ]
    arrivals = tuple(
        replace(arrival, due_ns=arrival.due_ns + number * step_ns)
        for number, step in enumerate(steps)
        for arrival in step.arrivals
    )
    whole = load(seed=seed, prefix=prefix, seconds=step_s, rate=rates()[-1], owners=True)
    planned = [
        RampStep(
            rate=rate, start_ns=number * step_ns, end_ns=(number + 1) * step_ns, requests=len(step.arrivals)
        )
        for number, (rate, step) in enumerate(zip(rates(), steps, strict=True))
    ]
    return replace(whole, seconds=step_s * len(steps), arrivals=arrivals), planned
