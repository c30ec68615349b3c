"""The plan of a ramp: steps of so many seconds, each so much steeper than the last. Pure and seeded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from bench.load.load_plan import MAX_RATE, Plan, make_plan
from bench.own_app.own_app import OwnApp

#: Requests a second of the first step, all scenarios together.
FIRST_RATE = 24.0
#: How much steeper each step is than the one before.
FACTOR = 1.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Stair:
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


def make_ramp(
    *,
    seed: int,
    prefix: str,
    scenarios: Sequence[str],
    step_s: float,
    owners: int = 0,
    own: OwnApp | None = None,
) -> tuple[Plan, list[Stair]]:
    """The plan and its steps; each step's rate is shared evenly by the scenarios.

    The tasks of an app of one's `own` share it as its workload says.
    """
    step_ns = int(step_s * 1e9)

    def plan(seed: int, prefix: str, rate: float, owners: int = 0) -> Plan:
        if own is not None:
            return own.load(seed=seed, prefix=prefix, seconds=step_s, rate=rate)
        shares = dict.fromkeys(scenarios, rate / len(scenarios))
        return make_plan(seed=seed, prefix=prefix, rates=shares, seconds=step_s, owners=owners)

    steps = [plan(seed + number, f"{prefix}-s{number:02}", rate) for number, rate in enumerate(rates())]
    arrivals = tuple(
        replace(arrival, due_ns=arrival.due_ns + number * step_ns)
        for number, step in enumerate(steps)
        for arrival in step.arrivals
    )
    whole = plan(seed, prefix, rates()[-1], owners)
    stairs = [
        Stair(
            rate=rate, start_ns=number * step_ns, end_ns=(number + 1) * step_ns, requests=len(step.arrivals)
        )
        for number, (rate, step) in enumerate(zip(rates(), steps, strict=True))
    ]
    return replace(whole, seconds=step_s * len(steps), arrivals=arrivals), stairs
