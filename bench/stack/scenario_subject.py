"""The built-in scenarios as the subject of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.faults.spec import DEADLINE_MS, Fault
from bench.ledger import reader
from bench.load.load_plan import REQUESTED, LoadPlan, make_load_plan
from bench.plan.blocks import BlockSpec
from bench.plan.profiles import Profile
from bench.plan.sides import Side
from bench.plan.subject import Grid, SideOptions, TickPlan, Workspace
from bench.stack.stack import Stack
from scenarios import jobs

#: Requests a second of the scenario that no fault aims at, whose jobs show how far a fault reaches.
BYSTANDER_RATE = 1.0
#: Seconds between two syncs of an owner.
SYNC_INTERVAL_S = 1.0
#: The packages of the sides that live in the app.
IN_PROCESS = {"inprocess": "inprocess", "inprocess-journal": "inprocess.journalled"}
#: The variable that names the sync policy.
POLICY_VARIABLE = "QUEUE_OR_TASK_SYNC_POLICY"


@dataclass(frozen=True, slots=True)
class ScenarioSubject:
    """Some of the scenarios, in the order of the reports."""

    scenarios: Sequence[str]

    @property
    def requested(self) -> bool:
        """Whether any of them arrives as requests; the sync runs on a schedule."""
        return bool(self._requested)

    @property
    def periodic(self) -> bool:
        """Whether the sync is among them."""
        return jobs.ACCOUNT_SYNC in self.scenarios

    @property
    def predicted(self) -> bool:
        """Each fault has its expectations."""
        return True

    @property
    def broker(self) -> str:
        """Empty: the scenarios have no broker of their own."""
        return ""

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
        """Every requested scenario at the profile's rate, or at an even part of `rate`."""
        each = profile.rate if rate is None else rate / len(self._requested)
        return make_load_plan(
            seed=seed,
            prefix=prefix,
            rates=dict.fromkeys(self._requested, each),
            seconds=seconds,
            owners=profile.owners if owners and self.periodic else 0,
        )

    def strike_load(self, fault: Fault, *, seed: int, prefix: str) -> LoadPlan:
        """The fault's own rate of account set-up, and bystanders."""
        return make_load_plan(
            seed=seed,
            prefix=prefix,
            rates={jobs.ACCOUNT_SETUP: fault.rate, jobs.WELCOME_EMAIL: BYSTANDER_RATE},
            seconds=fault.load_s,
            owners=fault.owners,
        )

    def tick_plan(self, spec: BlockSpec, *, owners: int) -> TickPlan:
        """So many owners, synced every second."""
        names = tuple(f"{spec.name}-owner-{number}" for number in range(owners))
        grid = Grid(policy=spec.policy, interval_s=SYNC_INTERVAL_S, owners=names)
        return TickPlan(grids=(grid,), asked=names)

    def deadlines_ms(self, fault: Fault) -> dict[str, float]:
        """The deadline of the fault's scenario and of the bystanders."""
        return dict.fromkeys((fault.scenario, jobs.WELCOME_EMAIL), DEADLINE_MS)

    def config_lines(self, side: Side) -> int:
        """The lines of a queue's profile, or the constants of the builds."""
        if side.queued:
            from celery_impl import profiles  # late: the harness starts without Celery

            return profiles.PROFILES[side.env["QUEUE_OR_TASK_PROFILE"]].lines
        if side.name in IN_PROCESS:
            names = ("account_setup", "account_sync", "application")
            modules = [import_module(f"{IN_PROCESS[side.name]}.{name}") for name in names]  # late: as above
            return sum(len(_constants(module)) for module in modules)
        return 0

    def manifest(self) -> Mapping[str, Any]:
        """Nothing: the names of the scenarios say all."""
        return {}

    def environment(self, env: Mapping[str, str]) -> Mapping[str, str]:
        """The whole environment."""
        return env

    def make_stack(self, spec: BlockSpec, workspace: Workspace, options: SideOptions) -> Stack:
        """A side of ours."""
        if options.periodic:
            options = replace(options, env={**options.env, POLICY_VARIABLE: spec.policy})
        return Stack(spec.side, workspace, options)

    def read_events(self, path: Path) -> list[dict[str, Any]]:
        """The events as they are: the services write one effect for each thing done."""
        events, _ = reader.read_events(path)
        return events

    def closing(self, run: Path) -> Mapping[str, Any]:  # noqa: ARG002 - of the Protocol
        """Nothing."""
        return {}

    @property
    def _requested(self) -> list[str]:
        return [scenario for scenario in self.scenarios if scenario in REQUESTED]


def _constants(module: ModuleType) -> list[str]:
    """The names of a module's settings: public constants that are no names of processes."""
    return [
        name
        for name, value in vars(module).items()
        if name.isupper() and not name.startswith("_") and not isinstance(value, str)
    ]
