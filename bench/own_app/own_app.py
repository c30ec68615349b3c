"""The user's app as the subject of a run: its workload, its description, and how its sides are started."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.faults.spec import Fault
from bench.ledger import reader
from bench.load.load_plan import LoadPlan
from bench.own_app import effects, task_counts
from bench.own_app.children.app_description import AppDescription, ScheduleEntry
from bench.own_app.interpreter import Interpreter
from bench.own_app.own_stack import OwnStack
from bench.own_app.workload import load_plan
from bench.own_app.workload.workload import Workload
from bench.plan.blocks import BlockSpec
from bench.plan.profiles import Profile
from bench.plan.sides import Side
from bench.plan.subject import Grid, SideOptions, TickPlan, Workspace

#: The fault that is a rate: it replaces the workload's.
BURST = 31


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnApp:
    """The app under test."""

    workload: Workload
    #: The project's folder, from which its modules are imported.
    folder: Path
    description: AppDescription
    #: What runs the app's processes.
    interpreter: Interpreter
    #: Whether calls go through the app's own broker, in a queue that only the run uses.
    use_app_broker: bool = False
    #: Schedule entries that are measured, each with its forced period in seconds, or None for its own.
    entries: Mapping[str, float | None]
    #: The reason for each entry that is not measured.
    left_out: tuple[str, ...] = ()
    worker_options: tuple[str, ...] = ()

    @property
    def scenarios(self) -> list[str]:
        """The tasks."""
        return self.workload.names

    @property
    def requested(self) -> bool:
        """Calls of tasks arrive as requests."""
        return True

    @property
    def periodic(self) -> bool:
        """Whether any entry of the schedule is measured."""
        return bool(self.entries)

    @property
    def predicted(self) -> bool:
        """docs/faults.md has no expectations for the user's app."""
        return False

    @property
    def broker(self) -> str:
        """The app's own broker, where the run uses it."""
        return f"the app's own, {self.description.broker}" if self.use_app_broker else ""

    def load(
        self,
        *,
        profile: Profile,  # noqa: ARG002 - the workload has its rates
        seed: int,
        prefix: str,
        seconds: float,
        rate: float | None = None,
        owners: bool = True,  # noqa: ARG002 - the schedule runs in drift blocks alone
    ) -> LoadPlan:
        """The calls of a block, at the workload's rates or at `rate` a second in the same mix."""
        return self._load(seed=seed, prefix=prefix, seconds=seconds, rate=rate)

    def _load(self, *, seed: int, prefix: str, seconds: float, rate: float | None) -> LoadPlan:
        factor = 1.0 if rate is None else rate / self.workload.rate
        return load_plan.make_load(self.workload, seed=seed, prefix=prefix, seconds=seconds, factor=factor)

    def strike_load(self, fault: Fault, *, seed: int, prefix: str) -> LoadPlan:
        """The load of a block of a fault: the workload's, but for a burst, which is one by its rate."""
        rate = fault.rate if fault.number == BURST else None
        return self._load(seed=seed, prefix=prefix, seconds=fault.load_s, rate=rate)

    def tick_plan(self, spec: BlockSpec, *, owners: int) -> TickPlan:  # noqa: ARG002 - the schedule has its entries
        """A grid for each measured entry, named by the entry in place of a policy."""
        return TickPlan(
            grids=tuple(
                Grid(policy=entry.name, interval_s=self.interval_s(entry), owners=(entry.name,))
                for entry in self.description.entries
                if entry.name in self.entries
            )
        )

    def first_calls(self) -> dict[str, list[Any]]:
        """[args, kwargs] of one call of each task."""
        draw = random.Random(0)  # noqa: S311 - a load, no secret
        return {task.name: task.maker()(draw, 0) for task in reversed(self.workload.tasks)}

    def config_lines(self, side: Side) -> int:
        """The number of the app's settings that the side needs; many are for a queue alone."""
        lines = len(self.description.settings)
        return lines if side.queued else lines - len(self.description.queue_settings)

    def deadlines_ms(self, fault: Fault) -> dict[str, float]:  # noqa: ARG002 - the same under each
        """Every task, with the milliseconds from due to effect after which a call of it is late."""
        return {name: self._deadline_s(name) * 1000 for name in self.scenarios}

    def _deadline_s(self, task: str) -> float:
        return min(each.deadline_s for each in self.workload.tasks if each.name == task)

    def interval_s(self, entry: ScheduleEntry) -> float:
        """Seconds between two ticks of an entry that is measured."""
        own = self.entries[entry.name]
        seconds = entry.seconds if own is None else own
        assert seconds is not None  # noqa: S101 - an entry without a fixed period is measured at another
        return seconds

    def environment(self, env: Mapping[str, str]) -> dict[str, str]:
        """PATH alone: a broker that the environment names belongs to the app."""
        return {"PATH": env.get("PATH", "")}

    def make_stack(self, spec: BlockSpec, workspace: Workspace, options: SideOptions) -> OwnStack:
        """A side of the app; all of its parts run on this machine."""
        return OwnStack(self, spec.side, workspace, options)

    def read_events(self, path: Path) -> list[dict[str, Any]]:
        """The events, with one kind and subject of effect for each job (see `effects`)."""
        events, _ = reader.read_events(path)
        return effects.counted(events)

    def manifest(self) -> dict[str, Any]:
        """The workload and the app's description."""
        return {"own_app": self._record()}

    def closing(self, run: Path) -> dict[str, Any]:
        """The same, and the counts of each task (`task_counts`)."""
        return {"own_app": {**self._record(), "seen": task_counts.tally(run)}}

    def _record(self) -> dict[str, Any]:
        return {
            "app": self.workload.app,
            "folder": str(self.folder),
            "interpreter": {"path": str(self.interpreter.path), **self.interpreter.versions()},
            "broker": f"the app's own, {self.description.broker}"
            if self.use_app_broker
            else "ours, in its place",
            "worker": {name: value for name, value in self.description.worker.items() if value is not None},
            "worker_options": list(self.worker_options),
            "queues": self.description.queues,
            "tasks": [
                {
                    "name": task.name,
                    "signature": self.description.signatures[task.name],
                    "rate_per_s": task.rate,
                    "args": list(task.args),
                    "kwargs": dict(task.kwargs),
                    "deadline_s": task.deadline_s,
                }
                for task in self.workload.tasks
            ],
            "entries": [
                {
                    "name": entry.name,
                    "task": entry.task,
                    "own_schedule": entry.schedule,
                    "every_s": self.interval_s(entry),
                }
                for entry in self.description.entries
                if entry.name in self.entries
            ],
            "left_out": list(self.left_out),
        }
