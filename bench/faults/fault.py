"""What a fault is: how it is made, whom it hits, and what each side is expected to do.

The expectations are those of FAULTS.md, written before the run. One that fails is a finding.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.stack import Stack
from scenarios import jobs

#: Seconds that a strike waits for a job to be under way before it strikes all the same.
AMID_LIMIT_S = 5.0
#: Events after which a job is no longer under way.
ENDS = frozenset({"effect", "raised", "cancelled"})
#: One row of `failures.csv`.
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What FAULTS.md expects of one side, for people, and whether a row bears it out."""

    text: str
    holds: Callable[[Row], bool]
    #: Seconds after the load within which the side must have dealt with every job.
    drain_s: float = 15.0
    #: What was scaled or changed for this side so that the fault ends today; for the report.
    note: str = ""
    env: Mapping[str, str] = field(default_factory=dict)


async def amid_jobs(stack: Stack) -> None:
    """Wait until a job of account set-up has begun and had no effect yet, so that a strike hits one."""
    await stack.until(_one_under_way, within_s=AMID_LIMIT_S)


def _one_under_way(events: Sequence[Mapping[str, Any]]) -> bool:
    own = [event for event in events if event.get("scenario") == jobs.ACCOUNT_SETUP]
    started = {event["job"] for event in own if event["event"] == "start"}
    return bool(started - {event["job"] for event in own if event["event"] in ENDS})


async def nothing(_stack: Stack) -> None:
    """Prepare nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault of FAULTS.md. It strikes once, at a seeded moment in the middle of the load."""

    number: int
    slug: str
    title: str
    expected: Mapping[str, Expected]
    strike: Callable[[Stack], Awaitable[None]]
    #: Runs before the load: a service that answers badly from the start, a worker that is away.
    prepare: Callable[[Stack], Awaitable[None]] = nothing
    scenario: str = jobs.ACCOUNT_SETUP
    #: Requests a second of the scenario, and seconds of load.
    rate: float = 8.0
    load_s: float = 6.0
    #: The fault strikes when all of the load is in, instead of amid it.
    after_load: bool = False
    #: Milliseconds that each service takes to answer.
    latency_ms: float = 20.0
    #: Seconds that the drain lasts even where every job is done: a duplicate may still come.
    linger_s: float = 1.5

    def drain_s(self, side: str) -> float:
        """Seconds after the load until a job that is not done counts as stuck or lost."""
        return self.expected[side].drain_s
