"""The faults that lost jobs of a scenario: at how many of those that met a side, and the worst of them."""

from __future__ import annotations

from collections.abc import Sequence

from reports.data import evidence, formatting
from reports.data.evidence import Losses
from reports.data.frames import groups
from reports.data.run import Run
from reports.verdicts.kinds import Number, SideMark

#: Faults with the most losses that are named in a number.
WORST_FAULTS = 3


def lossy_faults(run: Run, scenario: str, side: str) -> list[Losses]:
    """Every fault that lost jobs of this scenario, the one with the most first."""
    found = [evidence.losses(run, scenario=scenario, fault=fault, side=side) for fault in met(run, side)]
    return sorted((losses for losses in found if losses and losses.lost), key=lambda losses: -losses.lost)


def met(run: Run, side: str) -> list[int]:
    """The faults that struck while the side had accepted jobs, of any scenario ("promises kept" too)."""
    failures = run.table("failures")
    rows = failures[(failures["side"] == side) & (failures["accepted"] > 0)].dropna(subset=["fault"])
    return [int(fault) for fault, _ in groups(rows, "fault")]


def faults_number(run: Run, scenario: str, side: str) -> Number | None:
    """At how many of the faults that met a side it lost jobs, and the worst; None if none met it."""
    faults, lossy = met(run, side), lossy_faults(run, scenario, side)
    if not faults:
        return None
    named = [
        f"{formatting.fault_name(losses.fault)}: {losses.lost} of {losses.exposed}"
        for losses in lossy[:WORST_FAULTS]
    ]
    more = [f"{len(lossy) - WORST_FAULTS} more"] if len(lossy) > WORST_FAULTS else []
    every = int(run.table("failures")["fault"].nunique())
    base = f" (of {formatting.plural(every, 'fault')}, those that met accepted jobs of this side)"
    return Number(
        label=f"{formatting.side(side)}: faults that lost {formatting.scenario(scenario)} jobs",
        value=f"{len(lossy)} of {len(faults)}",
        detail=("; ".join([*named, *more]) or "none") + base,
    )


def but(run: Run, scenario: str, marks: Sequence[SideMark]) -> tuple[SideMark, ...]:
    """For each side that is good enough, the fault at which it lost the most jobs all the same."""
    found = []
    for mark in marks:
        lossy = lossy_faults(run, scenario, mark.side) if mark.state == "held" else []
        if lossy:
            more = len(lossy) - 1
            found.append(
                SideMark(
                    side=mark.side,
                    state="broken",
                    text=f"lost {lost_of(lossy[0])}",
                    at=formatting.fault_name(lossy[0].fault),
                    also=(f"some at {formatting.plural(more, 'more fault')}",) if more else (),
                )
            )
    return tuple(found)


def lost_of(losses: Losses, noun: str = "job") -> str:
    """As in "130 of 136 exposed jobs"; accepted ones where the run did not record exposure."""
    kind = "exposed" if losses.exposure_known else "accepted"
    return f"{losses.lost} of {losses.exposed} {kind} {noun}s"
