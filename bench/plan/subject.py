"""What a run measures: the built-in scenarios, or an app of the user's own.

A run knows its subject only through this Protocol. The subject is chosen once, where the command line is
read. `make_stack` and the methods after it have effects; the others are pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from bench.faults.spec import Fault
from bench.load.load_plan import LoadPlan
from bench.plan.blocks import BlockSpec
from bench.plan.deployment import ALL_HERE, Deployment
from bench.plan.profiles import Profile
from bench.plan.sides import Side
from bench.process.process_table import ProcessTable

StackT_co = TypeVar("StackT_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Owners that are due together: every `interval_s` seconds, by one policy."""

    policy: str
    interval_s: float
    owners: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TickPlan:
    """The periodic work of one drift block."""

    grids: tuple[Grid, ...]
    #: Owners that the block starts through the app; the others tick from the start of the side.
    asked: tuple[str, ...] = ()

    @property
    def unasked(self) -> frozenset[str]:
        """The owners that tick by themselves."""
        return frozenset(owner for grid in self.grids for owner in grid.owners) - set(self.asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """Where the side of one block runs."""

    #: The block's working folder.
    folder: Path
    #: Starts its processes and ends them with the run.
    table: ProcessTable
    #: What every event of the block carries.
    context: dict[str, str]
    deployment: Deployment = ALL_HERE


@dataclass(frozen=True, slots=True, kw_only=True)
class SideOptions:
    """Options of a side for one block. A subject ignores those that it has no use for."""

    #: Variables of every process.
    env: Mapping[str, str] = field(default_factory=dict)
    #: The periodic work runs, by the policy of the block.
    periodic: bool = False
    #: A queue has its beat.
    beat: bool = True
    #: Milliseconds that each outside service takes to answer; None for their own default.
    world_latency_ms: float | None = None
    #: What stands behind the fault proxy.
    proxied: Literal["", "broker", "results"] = ""
    #: Results are stored, in the broker.
    results_in_broker: bool = False
    #: The worker knows the jobs that faults need.
    fault_jobs: bool = False
    #: The Celery app of worker and beat.
    celery_app: str = "celery_impl.app"
    #: The broker is a RabbitMQ node.
    rabbitmq: bool = False
    #: Variables of the broker, where it is the run's own: what it preloads.
    broker_env: Mapping[str, str] = field(default_factory=dict)
    #: The part of its real time at which the retry schedule runs; None for all of it.
    retry_scale: float | None = None


class Subject(Protocol[StackT_co]):
    """What a run measures. `StackT_co` is a side of it, up and answering."""

    @property
    def scenarios(self) -> Sequence[str]:
        """The names that have rows in the tables: scenarios, or tasks."""

    @property
    def requested(self) -> bool:
        """Whether any of its load arrives as requests."""

    @property
    def periodic(self) -> bool:
        """Whether any of its work is periodic."""

    @property
    def predicted(self) -> bool:
        """Whether it was written down before the run what each side does under each fault."""

    @property
    def broker(self) -> str:
        """Where the subject's own broker is, which a run uses in place of another; empty for none."""

    def load(
        self,
        *,
        profile: Profile,
        seed: int,
        prefix: str,
        seconds: float,
        rate: float | None = None,
        owners: bool = True,
    ) -> LoadPlan:
        """The load of a block, at the common rate or at `rate` a second, all scenarios together.

        Periodic work runs beside it where the profile says so, but not without `owners`. Raise PlanError for
        what cannot be offered.
        """

    def strike_load(self, fault: Fault, *, seed: int, prefix: str) -> LoadPlan:
        """The load of a block of a fault."""

    def tick_plan(self, spec: BlockSpec, *, owners: int) -> TickPlan:
        """The periodic work of a drift block, with so many `owners` unless the subject names them."""

    def deadlines_ms(self, fault: Fault) -> Mapping[str, float]:
        """The scenarios that have a row under a fault, each with the ms after which a job is late."""

    def config_lines(self, side: Side) -> int:
        """Settings that whoever runs the side has to know."""

    def manifest(self) -> Mapping[str, Any]:
        """Fields of the manifest and of the plan that describe the subject; empty for the scenarios."""

    def environment(self, env: Mapping[str, str]) -> Mapping[str, str]:
        """Those of the run's variables by which parts of the run may be found."""

    def make_stack(self, spec: BlockSpec, workspace: Workspace, options: SideOptions) -> StackT_co:
        """A side for one block, not started."""

    def read_events(self, path: Path) -> list[dict[str, Any]]:
        """The events of a block from its file, with one kind of effect for each job."""

    def closing(self, run: Path) -> Mapping[str, Any]:
        """Fields of the manifest that are known when the run ends, from the files of its directory."""
