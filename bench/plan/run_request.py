"""A run as the command line describes it, checked before anything starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench import faults as all_faults
from bench.errors import BenchError
from bench.faults.spec import Fault
from bench.plan import sides as all_sides
from bench.plan.blocks import MEASURES
from bench.plan.deployment import DeploymentRequest
from bench.plan.profiles import Profile, for_named_faults
from bench.plan.sides import Side
from bench.plan.subject import Subject
from scenarios.jobs import SCENARIOS

#: A run all of whose parts are its own.
HERE = DeploymentRequest()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """One run: what to measure, how much, and where to write it."""

    profile: Profile
    #: What is measured.
    subject: Subject[Any]
    sides: list[Side]
    measures: list[str]
    faults: list[Fault]
    #: Beside each fault's strikes a run of the same block without it.
    controls: bool
    seed: int
    out: Path
    deployment: DeploymentRequest = HERE
    #: What gives the same run again.
    command: list[str]


def make_run_request(
    make_subject: Callable[[list[str]], Subject[Any]],
    *,
    scenarios: Sequence[str],
    sides: Sequence[str],
    measures: Sequence[str],
    faults: Sequence[int],
    profile: Profile,
    seed: int,
    out: Path,
    deployment: DeploymentRequest = HERE,
) -> RunRequest:
    """Check every name and fill in the profile's choice for those left out; raise BenchError.

    `make_subject` makes what is measured of the scenarios' names.
    """
    wanted = known("scenario", scenarios, SCENARIOS)
    check_faults_measured(faults, measures)
    if deployment.world_url:  # one set of services for all: what a fault does to them is one block's alone
        profile = replace(profile, lanes=1)
    return RunRequest(
        profile=for_named_faults(profile) if faults else profile,
        subject=make_subject(wanted),
        sides=all_sides.select_sides(tuple(sides) or profile.sides),
        measures=known("measure", measures or profile.measures, MEASURES),
        faults=[
            fault for fault in all_faults.select_faults(faults or profile.faults) if fault.scenario in wanted
        ],
        controls=profile.controls or bool(faults),
        seed=seed,
        out=out,
        deployment=deployment,
        command=[
            *command({"--scenario": scenarios, "--side": sides, "--measure": measures, "--fault": faults}),
            *shared_options(profile, seed),
            *deployment.options(),
        ],
    )


def check_faults_measured(faults: Sequence[int], measures: Sequence[str]) -> None:
    """Raise BenchError if a fault is named, and measures without `fault`."""
    if faults and measures and "fault" not in measures:
        raise BenchError(
            f"--fault {faults[0]} is measured by --measure fault: add it, or leave out --fault {faults[0]}"
        )


def known(kind: str, names: Sequence[str], choices: Sequence[str]) -> list[str]:
    """The names in the order of `choices`, all of these where none is named; raise BenchError for another."""
    for name in names:
        if name not in choices:
            raise BenchError(f"no {kind} is called {name!r}: choose from {', '.join(choices)}")
    return [name for name in choices if not names or name in names]


def command(named: Mapping[str, Sequence[object]], before: Sequence[str] = ()) -> list[str]:
    """`queue-or-task run`, the words of `before`, and each option of `named` once for each of its values."""
    options = (word for option, values in named.items() for value in values for word in (option, str(value)))
    return ["queue-or-task", "run", *before, *options]


def shared_options(profile: Profile, seed: int) -> list[str]:
    """The options that every run has."""
    return ["--profile", profile.name, "--seed", str(seed)]
