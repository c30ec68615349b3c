"""What `run --app` asks for, checked before anything starts: the app is imported in a child, and answers."""

from __future__ import annotations

import random
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.own_app import faults as own_faults
from bench.own_app import sides as own_sides
from bench.own_app.children.app_description import Entry
from bench.own_app.inspect_app import ask
from bench.own_app.own_app import OwnApp
from bench.own_app.workload import units, workload
from bench.own_app.workload.workload import Workload
from bench.plan.profiles import Profile
from bench.plan.run_request import RunRequest, check_faults_measured, command, known, shared_options
from scenarios.jobs import SCENARIOS

#: Measures that say something of tasks that are not ours, in the order in which a run takes them.
MEASURES = ("latency", "load", "cold", "drift", "fault")
#: Ticks that an entry of the schedule must have in a drift block to be measured at its own pace.
LEAST_TICKS = 5
#: Calls of each task whose arguments are tried on its signature.
TRIED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The options of `run` that are for an app of your own."""

    app: str = ""
    tasks: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    kwargs: tuple[str, ...] = ()
    rate: str | None = None
    deadline: str | None = None
    workload: Path | None = None
    use_app_broker: bool = False
    beat_every: str | None = None
    worker_options: str = ""

    @property
    def any(self) -> bool:
        """Whether an app of one's own is asked for at all."""
        return bool(self.app or self.workload)

    def words(self) -> list[str]:
        """The options as a person types them."""
        single = {
            "--app": self.app,
            "--rate": self.rate,
            "--deadline": self.deadline,
            "--workload": self.workload,
            "--beat-every": self.beat_every,
            "--worker-options": self.worker_options,
        }
        many = {"--task": self.tasks, "--args": self.args, "--kwargs": self.kwargs}
        pairs = [(name, value) for name, value in single.items() if value]
        pairs += [(name, value) for name, values in many.items() for value in values]
        return [*(word for name, value in pairs for word in (name, str(value)))] + (
            ["--use-app-broker"] if self.use_app_broker else []
        )


def refuse_without_app(asked: Asked) -> None:
    """Raise BenchError for an option that needs `--app`."""
    if words := asked.words():
        raise BenchError(
            f"{words[0]} is for an app of your own: add --app shop.celery:app, or --workload FILE.toml"
        )


def make_own_request(
    asked: Asked,
    *,
    scenarios: Sequence[str],
    sides: Sequence[str],
    measures: Sequence[str],
    faults: Sequence[int],
    profile: Profile,
    seed: int,
    out: Path,
) -> RunRequest:
    """Check everything, the app included; raise BenchError before anything is started or written."""
    if scenarios:
        raise BenchError(f"--scenario {scenarios[0]} is one of ours: leave it out beside an app of your own")
    check_faults_measured(faults, measures)
    taken = _measures(measures, profile)
    struck = own_faults.select_faults(
        faults or profile.faults, named=bool(faults), use_app_broker=asked.use_app_broker
    )
    chosen = own_sides.select_sides(sides)
    own = _own_app(asked, profile)
    return RunRequest(
        profile=profile,
        subject=own,
        sides=chosen,
        measures=taken,
        faults=struck,
        controls=profile.controls or bool(faults),
        seed=seed,
        out=out,
        command=[
            *command({"--side": sides, "--measure": measures, "--fault": faults}, asked.words()),
            *shared_options(profile, seed),
        ],
    )


def _measures(measures: Sequence[str], profile: Profile) -> list[str]:
    if measures:
        return known("measure of an app of your own", measures, MEASURES)
    return [name for name in MEASURES if not profile.measures or name in profile.measures]


def _own_app(asked: Asked, profile: Profile) -> OwnApp:
    folder = Path.cwd()
    load = _workload(asked)
    for name in load.names:
        if name in SCENARIOS:
            raise BenchError(f"a task called {name!r} has the name of a scenario of ours: give it another")
    worker_options = _split(asked.worker_options)
    every_s = units.seconds(asked.beat_every, where="--beat-every") if asked.beat_every else None
    draw = random.Random(0)  # noqa: S311 - a load, no secret
    calls: dict[str, list[Any]] = {name: [] for name in load.names}
    for task in load.tasks:
        make = task.maker()
        calls[task.name] += [make(draw, number) for number in range(TRIED)]
    answer = ask(load.app, folder, calls, reach=asked.use_app_broker)
    entries, left_out = _entries(answer.entries, every_s, profile)
    return OwnApp(
        workload=load,
        folder=folder,
        answer=answer,
        use_app_broker=asked.use_app_broker,
        entries=entries,
        left_out=left_out,
        worker_options=worker_options,
    )


def _split(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise BenchError(f"--worker-options is {text!r}, which no shell would take ({error})") from error


def _workload(asked: Asked) -> Workload:
    if asked.workload is None:
        return workload.from_options(
            app=asked.app,
            tasks=asked.tasks,
            args=asked.args,
            kwargs=asked.kwargs,
            rate=asked.rate,
            deadline=asked.deadline,
        )
    for option, given in (("--task", asked.tasks), ("--args", asked.args), ("--kwargs", asked.kwargs)):
        if given:
            raise BenchError(f"{option} stands beside --workload {asked.workload}: the file has the tasks")
    return workload.from_file(asked.workload, app=asked.app, rate=asked.rate)


def _entries(
    found: Sequence[Entry], every_s: float | None, profile: Profile
) -> tuple[dict[str, float | None], tuple[str, ...]]:
    """The entries that a drift block can measure, each with the period forced on it, and the others."""
    taken: dict[str, float | None] = {}
    left_out = []
    for entry in found:
        if every_s is not None:
            taken[entry.name] = every_s
        elif entry.seconds is not None and profile.drift_s / entry.seconds >= LEAST_TICKS:
            taken[entry.name] = None
        else:
            told = f"{entry.name}: {entry.schedule} has too few ticks in {profile.drift_s:g} s"
            left_out.append(f"{told}; --beat-every 1s runs it at that pace")
    return taken, tuple(left_out)
