"""Everything that one run will do, in its order. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.errors import BenchError
from bench.plan.blocks import BlockSpec, drift_blocks, fault_blocks, latency_blocks
from bench.plan.extra_blocks import make_extra_blocks
from bench.plan.run_request import RunRequest

#: Seconds that timing the call costs takes, as a guess.
MICRO_S = 6.0
#: Seconds by which each strike beside it delays the start and end of one, as seen with six at a time.
CROWDED_S = 1.3
#: Seconds that a strike takes at least, however many run side by side, on two cores: with a queue it uses
#: five seconds of processor time, without one three (as seen, over faults 6, 10, 13 and 29).
QUEUE_STRIKE_S, STRIKE_S = 2.5, 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """The blocks of a run: latency and others one by one, drift side by side, faults in lanes, calls."""

    latency: list[BlockSpec]
    further: list[BlockSpec]
    drift: list[list[BlockSpec]]
    faults: list[BlockSpec]
    micro: bool
    #: Latency blocks that may be measured again because the first try did not count.
    spares: int = 0
    #: The same for further ones.
    further_spares: int = 0

    def guesses_s(self, lanes: int) -> dict[str, float]:
        """How long each measure will take; none that is not measured."""
        guesses: dict[str, float] = {}
        for spec in (*self.latency, *self.further):
            guesses[spec.measure] = guesses.get(spec.measure, 0.0) + spec.guess_s
        guesses["drift"] = sum(max(spec.guess_s for spec in specs) for specs in self.drift)
        beside = [spec for spec in self.faults if not spec.alone]
        alone_s = sum(spec.guess_s for spec in self.faults if spec.alone)
        guesses["fault"] = alone_s + beside_s(beside, lanes)
        guesses["micro"] = MICRO_S * self.micro
        return {measure: guess for measure, guess in guesses.items() if guess}

    def guess_s(self, lanes: int) -> float:
        """How long it will take, for the progress bar."""
        return sum(self.guesses_s(lanes).values())

    def summary(self, lanes: int) -> str:
        """The same for a person: the whole, and each measure's part."""
        parts = ", ".join(f"{measure} {s / 60:.1f}" for measure, s in self.guesses_s(lanes).items())
        minutes = self.guess_s(lanes) / 60
        whole = round(minutes)
        hours = f"{whole // 60} h {whole % 60} min" if whole >= 60 else f"{minutes:.1f} min"  # noqa: PLR2004 - of an hour
        return f"takes about {hours} (in minutes: {parts})"


def beside_s(strikes: Sequence[BlockSpec], lanes: int) -> float:
    """Seconds that these take, so many side by side."""
    processor_s = sum(QUEUE_STRIKE_S if spec.side.queued else STRIKE_S for spec in strikes)
    crowded_s = CROWDED_S * (lanes - 1)
    return max(sum(spec.guess_s + crowded_s for spec in strikes) / lanes, processor_s)


def make_run_plan(request: RunRequest) -> RunPlan:
    """Return the blocks of a request; raise BenchError if there is nothing to measure."""
    measures, profile, subject = request.measures, request.profile, request.subject
    drift = drift_blocks(request.sides, profile) if subject.periodic else []
    run_plan = RunPlan(
        latency=latency_blocks(request.sides, profile) if subject.requested and "latency" in measures else [],
        further=make_extra_blocks(
            measures, request.sides, subject.scenarios, profile, requested=subject.requested
        ),
        drift=[together for together in drift if together] if "drift" in measures else [],
        faults=fault_blocks(request.sides, request.faults, profile, controls=request.controls)
        if "fault" in measures
        else [],
        micro="micro" in measures,
        spares=profile.spares,
        further_spares=profile.further_spares,
    )
    if not (run_plan.latency or run_plan.further or run_plan.drift or run_plan.faults or run_plan.micro):
        raise BenchError(
            "nothing to measure: scenarios, sides, measures and faults do not meet; see `queue-or-task list`"
        )
    return run_plan
