"""The options of `run --app`, checked before anything starts: a child process imports the app."""

from __future__ import annotations

import os
import random
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.own_app import faults as own_faults
from bench.own_app import interpreter as interpreters
from bench.own_app import sides as own_sides
from bench.own_app.app_inspection import inspect_app
from bench.own_app.children.app_description import ScheduleEntry
from bench.own_app.interpreter import Interpreter
from bench.own_app.own_app import OwnApp
from bench.own_app.workload import units, workload
from bench.own_app.workload.workload import Workload
from bench.plan.profiles import Profile, for_named_faults
from bench.plan.run_request import RunRequest, check_faults_measured, command, known, shared_options
from scenarios.jobs import SCENARIOS

#: Measures that apply to an app of the user, in the order of a run.
MEASURES = ("latency", "load", "cold", "drift", "fault")
#: Least ticks of a schedule entry in a drift block for it to be measured at its own period.
MIN_TICKS = 5
#: Calls of each task whose arguments are checked against its signature.
CHECKED_CALLS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnAppOptions:
    """The options of `run` that are for an app of the user."""

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
    python: Path | None = None

    @property
    def any(self) -> bool:
        """Whether the options name an app."""
        return bool(self.app or self.workload)

    def words(self) -> list[str]:
        """The options as words of a command line."""
        single = {
            "--app": self.app,
            "--rate": self.rate,
            "--deadline": self.deadline,
            "--workload": self.workload,
            "--beat-every": self.beat_every,
            "--worker-options": self.worker_options,
            "--python": self.python,
        }
        many = {"--task": self.tasks, "--args": self.args, "--kwargs": self.kwargs}
        pairs = [(name, value) for name, value in single.items() if value]
        pairs += [(name, value) for name, values in many.items() for value in values]
        return [*(word for name, value in pairs for word in (name, str(value)))] + (
            ["--use-app-broker"] if self.use_app_broker else []
        )


def refuse_without_app(options: OwnAppOptions) -> None:
    """Raise BenchError for an option that needs `--app`."""
    if words := options.words():
        raise BenchError(
            f"{words[0]} is for an app of your own: add --app shop.celery:app, or --workload FILE.toml"
        )


def make_own_request(
    options: OwnAppOptions,
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
    chosen_measures = _measures(measures, profile)
    chosen_faults = own_faults.select_faults(
        faults or profile.faults, named=bool(faults), use_app_broker=options.use_app_broker
    )
    chosen_sides = own_sides.select_sides(sides)
    interpreter = interpreters.inspect(interpreters.find(options.python, Path.cwd(), os.environ))
    if not options.use_app_broker and any(side.queued for side in chosen_sides):
        interpreters.check_redis(interpreter)
    own = _own_app(options, interpreter, profile)
    options = replace(options, python=interpreter.path)  # a resumed run uses the same one
    return RunRequest(
        profile=for_named_faults(profile) if faults else profile,
        subject=own,
        sides=chosen_sides,
        measures=chosen_measures,
        faults=chosen_faults,
        controls=profile.controls or bool(faults),
        seed=seed,
        out=out,
        command=[
            *command({"--side": sides, "--measure": measures, "--fault": faults}, options.words()),
            *shared_options(profile, seed),
        ],
    )


def _measures(measures: Sequence[str], profile: Profile) -> list[str]:
    if measures:
        return known("measure of an app of your own", measures, MEASURES)
    return [name for name in MEASURES if not profile.measures or name in profile.measures]


def _own_app(options: OwnAppOptions, interpreter: Interpreter, profile: Profile) -> OwnApp:
    folder = Path.cwd()
    load = _workload(options)
    for name in load.names:
        if name in SCENARIOS:
            raise BenchError(f"a task called {name!r} has the name of a scenario of ours: give it another")
    worker_options = _split(options.worker_options)
    every_s = units.seconds(options.beat_every, where="--beat-every") if options.beat_every else None
    draw = random.Random(0)  # noqa: S311 - a load, no secret
    calls: dict[str, list[Any]] = {name: [] for name in load.names}
    for task in load.tasks:
        make = task.maker()
        calls[task.name] += [make(draw, number) for number in range(CHECKED_CALLS)]
    description = inspect_app(load.app, folder, calls, interpreter=interpreter, reach=options.use_app_broker)
    entries, left_out = _entries(description.entries, every_s, profile)
    return OwnApp(
        workload=load,
        folder=folder,
        description=description,
        interpreter=interpreter,
        use_app_broker=options.use_app_broker,
        entries=entries,
        left_out=left_out,
        worker_options=worker_options,
    )


def _split(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise BenchError(f"--worker-options is {text!r}, which no shell would take ({error})") from error


def _workload(options: OwnAppOptions) -> Workload:
    if options.workload is None:
        return workload.from_options(
            app=options.app,
            tasks=options.tasks,
            args=options.args,
            kwargs=options.kwargs,
            rate=options.rate,
            deadline=options.deadline,
        )
    for option, given in (("--task", options.tasks), ("--args", options.args), ("--kwargs", options.kwargs)):
        if given:
            raise BenchError(f"{option} stands beside --workload {options.workload}: the file has the tasks")
    return workload.from_file(options.workload, app=options.app, rate=options.rate)


def _entries(
    found: Sequence[ScheduleEntry], every_s: float | None, profile: Profile
) -> tuple[dict[str, float | None], tuple[str, ...]]:
    """The entries that a drift block can measure, with their forced period, and the reasons for the rest."""
    measured: dict[str, float | None] = {}
    left_out = []
    for entry in found:
        if every_s is not None:
            measured[entry.name] = every_s
        elif entry.seconds is not None and profile.drift_s / entry.seconds >= MIN_TICKS:
            measured[entry.name] = None
        else:
            reason = f"{entry.name}: {entry.schedule} has too few ticks in {profile.drift_s:g} s"
            left_out.append(f"{reason}; --beat-every 1s runs it at that pace")
    return measured, tuple(left_out)
