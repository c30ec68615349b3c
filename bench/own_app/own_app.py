"""An app of your own as the harness knows it: what is asked of it, what it has, and how it is started."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.faults.spec import Fault
from bench.load.load_plan import Plan
from bench.own_app.children.app_description import Answer, Entry
from bench.own_app.workload import load_plan
from bench.own_app.workload.workload import Workload
from bench.plan.sides import Side

#: The fault whose rate is the fault.
BURST = 31


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnApp:
    """The app under test."""

    workload: Workload
    #: The project's folder, from which its modules are imported.
    folder: Path
    answer: Answer
    #: Its calls go through its own broker, in a queue of the run's own.
    use_app_broker: bool = False
    #: Entries of its schedule that are measured, with their period where it is not their own.
    entries: Mapping[str, float | None]
    #: Entries that are not, each with the reason.
    left_out: tuple[str, ...] = ()
    worker_options: tuple[str, ...] = ()

    def load(self, *, seed: int, prefix: str, seconds: float, rate: float | None = None) -> Plan:
        """The load of a block, at the workload's rates or at `rate` a second in the same mix."""
        factor = 1.0 if rate is None else rate / self.workload.rate
        return load_plan.make_load(self.workload, seed=seed, prefix=prefix, seconds=seconds, factor=factor)

    def struck(self, fault: Fault, *, seed: int, prefix: str) -> Plan:
        """The load of a block of a fault: the workload's, but for a burst, which is one by its rate."""
        rate = fault.rate if fault.number == BURST else None
        return self.load(seed=seed, prefix=prefix, seconds=fault.load_s, rate=rate)

    def first_calls(self) -> dict[str, list[Any]]:
        """[args, kwargs] of one call of each task."""
        draw = random.Random(0)  # noqa: S311 - a load, no secret
        return {task.name: task.maker()(draw, 0) for task in reversed(self.workload.tasks)}

    def config_lines(self, side: Side) -> int:
        """Settings of the app that the side needs: many are for a queue alone."""
        lines = len(self.answer.settings)
        return lines if side.queued else lines - len(self.answer.queue_settings)

    def deadline_ms(self, task: str) -> float:
        """Milliseconds from due to effect after which a call of the task is late."""
        return min(each.deadline_s for each in self.workload.tasks if each.name == task) * 1000

    def interval_s(self, entry: Entry) -> float:
        """Seconds between two ticks of an entry that is measured."""
        own = self.entries[entry.name]
        seconds = entry.seconds if own is None else own
        assert seconds is not None  # noqa: S101 - an entry without a fixed period is measured at another
        return seconds

    def told(self) -> dict[str, Any]:
        """What the manifest says of the app."""
        return {
            "app": self.workload.app,
            "folder": str(self.folder),
            "broker": f"the app's own, {self.answer.broker}" if self.use_app_broker else "ours, in its place",
            "worker": {name: value for name, value in self.answer.worker.items() if value is not None},
            "worker_options": list(self.worker_options),
            "queues": self.answer.queues,
            "tasks": [
                {
                    "name": task.name,
                    "signature": self.answer.signatures[task.name],
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
                for entry in self.answer.entries
                if entry.name in self.entries
            ],
            "left_out": list(self.left_out),
        }
