"""The load of a block of your own tasks: which call is due when, with which arguments. Pure and seeded.

As `bench.load.load_plan`, whose `LoadPlan` it makes: Poisson arrivals, a draw of its own for each task, so
that adding a task moves no other's calls. The request's id is the call's id, and so Celery's task id.
"""

from __future__ import annotations

import random

from bench.load import load_plan
from bench.load.load_plan import Arrival, LoadPlan
from bench.own_app.workload.workload import TaskLoad, Workload


def make_load(workload: Workload, *, seed: int, prefix: str, seconds: float, factor: float = 1.0) -> LoadPlan:
    """Plan `seconds` of calls at `factor` times their rates; raise PlanError for what cannot be offered."""
    load_plan.check_window(prefix=prefix, seconds=seconds)
    calls = sorted(
        (due_ns, place, number)
        for place, task in enumerate(workload.tasks)
        for number, due_ns in enumerate(
            load_plan.poisson(_draw(seed, task, place), task.rate * factor, seconds)
        )
    )
    makers = [task.maker() for task in workload.tasks]
    values = [_draw(seed, task, f"{place}/arguments") for place, task in enumerate(workload.tasks)]
    arrivals = []
    for count, (due_ns, place, number) in enumerate(calls):
        args, kwargs = makers[place](values[place], number)
        name = workload.tasks[place].name
        params = {"id": f"{prefix}-{count:06}", "task": name, "args": args, "kwargs": kwargs}
        arrivals.append(Arrival(due_ns=due_ns, scenario=name, params=params))
    return LoadPlan(
        seed=seed,
        prefix=prefix,
        seconds=float(seconds),
        rates={name: _rate(workload, name) * factor for name in workload.names},
        owners=(),
        arrivals=tuple(arrivals),
    )


def _rate(workload: Workload, name: str) -> float:
    return sum(task.rate for task in workload.tasks if task.name == name)


def _draw(seed: int, task: TaskLoad, part: object) -> random.Random:
    return random.Random(f"{seed}/{task.name}/{part}")  # noqa: S311 - a load, no secret
