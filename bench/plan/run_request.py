"""What the command line asks for, checked before anything starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench import faults as all_faults
from bench.errors import BenchError
from bench.faults.spec import Fault
from bench.own_app.own_app import OwnApp
from bench.plan import sides as all_sides
from bench.plan.blocks import MEASURES
from bench.plan.deployment import Elsewhere
from bench.plan.profiles import Profile
from bench.plan.sides import Side
from scenarios.jobs import SCENARIOS

#: A run all of whose parts are its own.
HERE = Elsewhere()


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One run, as asked for."""

    profile: Profile
    sides: list[Side]
    scenarios: list[str]
    measures: list[str]
    faults: list[Fault]
    #: Beside each fault's strikes a run of the same block without it.
    controls: bool
    seed: int
    out: Path
    elsewhere: Elsewhere = HERE
    #: What gives the same run again.
    command: list[str]
    #: The app of one's own that is measured in place of ours.
    own: OwnApp | None = None


def make_order(
    *,
    scenarios: Sequence[str],
    sides: Sequence[str],
    measures: Sequence[str],
    faults: Sequence[int],
    profile: Profile,
    seed: int,
    out: Path,
    elsewhere: Elsewhere = HERE,
) -> Order:
    """Check every name and fill in the profile's choice for those left out; raise BenchError."""
    wanted = known("scenario", scenarios, SCENARIOS)
    if elsewhere.world_url:  # one set of services for all: what a fault does to them is one block's alone
        profile = replace(profile, lanes=1)
    return Order(
        profile=profile,
        sides=all_sides.chosen(tuple(sides) or profile.sides),
        scenarios=wanted,
        measures=known("measure", measures or profile.measures, MEASURES),
        faults=[fault for fault in all_faults.chosen(faults or profile.faults) if fault.scenario in wanted],
        controls=profile.controls or bool(faults),
        seed=seed,
        out=out,
        elsewhere=elsewhere,
        command=[
            *command({"--scenario": scenarios, "--side": sides, "--measure": measures, "--fault": faults}),
            *shared_options(profile, seed),
            *elsewhere.options(),
        ],
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
