"""What a fault is: how it is made, whom it hits, and what each side is expected to do.

The expectations are those of docs/faults.md, written before the run. One that fails is a finding.

A fault has an injector (`prepare` before the load, `strike` at a seeded moment of it) and for each side an
expectation, in words and as a predicate. A fault whose effect the classes do not show has a checker
(`check`); the predicate gets its findings and the classes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bench.faults.target import Target
from bench.ledger.job_names import MARK
from bench.measures.events.periodic_runs import PERIODIC
from scenarios import jobs

#: Seconds that a strike waits for a job to run; after that it strikes all the same.
RUNNING_JOB_WAIT_S = 5.0
#: Milliseconds from due to effect after which a job is late.
DEADLINE_MS = 5000.0
#: Events after which a job is no longer under way.
ENDS = frozenset({"effect", "raised", "cancelled"})
#: Scenarios at which no such strike aims.
BYSTANDERS = PERIODIC | {jobs.WELCOME_EMAIL}
#: A part that may be somebody else's.
Part = Literal["broker", "worker"]
#: One row of `failures.csv`, with what the fault's own checker found.
Row = Mapping[str, Any]
#: The events of a block.
Events = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckInput:
    """What a fault's own checker may look at: the events of the block and the moments of the fault."""

    events: Events
    #: What the strike recorded (`Target.facts`).
    facts: Mapping[str, Any]
    #: Monotonic ns: of the load, and of the fault.
    start_ns: int
    on_ns: int
    off_ns: int
    drained_ns: int
    owners: Sequence[str] = ()


def recorded_facts(block: CheckInput) -> Mapping[str, Any]:
    """The facts that the strike recorded, and nothing else: the checker of most faults."""
    return block.facts


def nothing_lost(row: Row) -> bool:
    """The predicate of most expectations: each accepted job had an effect, or its failure can be found."""
    return bool(row["lost"] == row["stuck"] == 0)


def always_available() -> str:
    """The empty text: every machine can make the fault."""
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What docs/faults.md expects of one side, in words, and whether a row agrees."""

    text: str
    holds: Callable[[Row], bool]
    #: Seconds after the load within which the side must have dealt with every job.
    drain_s: float = 15.0
    #: What was scaled or changed for this side so that the fault ends today; for the report.
    note: str = ""
    env: Mapping[str, str] = field(default_factory=dict)


async def wait_for_running_job(target: Target) -> None:
    """Wait until a job has started and had no effect yet, so that the strike hits one.

    Jobs of the scenarios that no fault aims at do not count.
    """
    await target.until(_a_job_runs, within_s=target.running_job_wait_s)


def _a_job_runs(events: Sequence[Mapping[str, Any]]) -> bool:
    own = [event for event in events if event.get("scenario") not in BYSTANDERS]
    started = {event["job"] for event in own if event["event"] == "start"}
    return bool(started - {event["job"] for event in own if event["event"] in ENDS})


def times_begun(events: Events, name: str) -> int:
    """How often the fault job of this name has begun (`TargetClient.fault_job`)."""
    job = jobs.crm(f"{MARK}{name}")
    return sum(event["event"] == "start" and str(event["job"]).endswith(job) for event in events)


def processes_with(target: Target, event: Literal["start", "accepted"]) -> int:
    """How many processes of the side have run jobs ("start") or handed them over ("accepted")."""
    files = target.ledger.glob("events-*.jsonl")
    return sum(f'"event":"{event}"' in file.read_text(errors="replace").replace(" ", "") for file in files)


async def do_nothing(_target: Target) -> None:
    """Do nothing: the fault has no such step."""


def no_environment(_folder: Path) -> Mapping[str, str]:
    """No variable but the side's own."""
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault of docs/faults.md. It strikes once, at a seeded moment in the middle of the load."""

    number: int
    slug: str
    title: str
    expected: Mapping[str, Expected]
    strike: Callable[[Target], Awaitable[None]]
    #: Runs before the load: a service that answers badly from the start, a worker that is away.
    prepare: Callable[[Target], Awaitable[None]] = do_nothing
    scenario: str = jobs.ACCOUNT_SETUP
    #: Requests a second of the scenario, and seconds of load.
    rate: float = 8.0
    load_s: float = 6.0
    #: The fault strikes after the last request of the load, not in the middle of it.
    after_load: bool = False
    #: The strike is a kill and stamps its moment (`Target.stamp_kill`): exposed are the jobs that were
    #: accepted and not done then.
    kills: bool = False
    #: What docs/faults.md checks is a time: one strike of each side runs with no other block beside it.
    timed: bool = False
    #: What it does outlasts the strike, so that every job after it is exposed too.
    outlasts_strike: bool = False
    #: Milliseconds that each service takes to answer.
    latency_ms: float = 20.0
    #: Owners whose balance is synced every second from before the load on; without any there is no beat.
    owners: int = 0
    #: Parts of a queue that it kills, pauses or changes: they must be the run's own.
    hits: frozenset[Part] = frozenset()
    #: What stands behind the fault proxy (`bench.world.proxy`): the broker, or a result store.
    proxied: Literal["", "broker", "results"] = ""
    #: Results are stored, in the broker.
    results_in_broker: bool = False
    #: The broker is a RabbitMQ node.
    rabbitmq: bool = False
    #: The worker knows the fault jobs (`bench.app.fault_jobs`).
    fault_jobs: bool = False
    #: The fault's own checker: facts that the classes do not show.
    check: Callable[[CheckInput], Mapping[str, Any]] = recorded_facts
    #: Why this machine cannot make the fault, or nothing.
    unavailable: Callable[[], str] = always_available
    #: Variables of every process of the block, made when it starts (`folder` is the block's own).
    environment: Callable[[Path], Mapping[str, str]] = no_environment
    #: Variables of the broker's process, made when it starts.
    broker_environment: Callable[[Path], Mapping[str, str]] = no_environment
    #: Seconds that the drain lasts even where every job is done: a duplicate may still come.
    linger_s: float = 1.5

    @property
    def from_start(self) -> bool:
        """Whether it is there from before the load until the end, so that no moment is its own."""
        return self.strike is do_nothing

    def drain_s(self, side: str) -> float:
        """Seconds after the load until a job that is not done counts as stuck or lost."""
        return self.expected[side].drain_s
