"""Everything that one run will do, in its order. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from bench.blocks.registry import further_turns
from bench.errors import BenchError
from bench.load.load_plan import REQUESTED
from bench.plan.blocks import Turn, drift_turns, fault_turns, latency_turns
from bench.plan.run_request import Order
from scenarios.jobs import ACCOUNT_SYNC

#: Seconds that timing the call costs takes, as a guess.
MICRO_S = 6.0
#: Seconds that a strike takes at least, however many run side by side: eight of processor time, on two cores.
STRIKE_S = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Agenda:
    """The turns of a run: latency and further ones one by one, drift side by side, faults in lanes, calls."""

    latency: list[Turn]
    further: list[Turn]
    drift: list[list[Turn]]
    faults: list[Turn]
    micro: bool
    #: Latency blocks that may be measured again because the first try did not count.
    spares: int = 0
    #: The same for further ones.
    further_spares: int = 0

    def guesses_s(self, lanes: int) -> dict[str, float]:
        """How long each measure will take; none that is not measured."""
        guesses: dict[str, float] = {}
        for turn in (*self.latency, *self.further):
            guesses[turn.measure] = guesses.get(turn.measure, 0.0) + turn.guess_s
        guesses["drift"] = sum(max(turn.guess_s for turn in turns) for turns in self.drift)
        guesses["fault"] = max(sum(turn.guess_s for turn in self.faults) / lanes, STRIKE_S * len(self.faults))
        guesses["micro"] = MICRO_S * self.micro
        return {measure: guess for measure, guess in guesses.items() if guess}

    def guess_s(self, lanes: int) -> float:
        """How long it will take, for the progress bar."""
        return sum(self.guesses_s(lanes).values())

    def told(self, lanes: int) -> str:
        """The same for a person: the whole, and each measure's part."""
        parts = ", ".join(f"{measure} {_minutes(s)}" for measure, s in self.guesses_s(lanes).items())
        return f"takes about {_minutes(self.guess_s(lanes))} min: {parts}"


def make_agenda(order: Order) -> Agenda:
    """What the order comes to; raise BenchError where nothing is left to measure."""
    measures, profile, own = order.measures, order.profile, order.own
    requested = own is not None or any(scenario in REQUESTED for scenario in order.scenarios)
    periodic = ACCOUNT_SYNC in order.scenarios if own is None else bool(own.entries)
    drift = drift_turns(order.sides, profile) if periodic else []
    agenda = Agenda(
        latency=latency_turns(order.sides, profile) if requested and "latency" in measures else [],
        further=further_turns(measures, order.sides, order.scenarios, profile, own=own is not None),
        drift=[together for together in drift if together] if "drift" in measures else [],
        faults=fault_turns(order.sides, order.faults, profile, controls=order.controls)
        if "fault" in measures
        else [],
        micro="micro" in measures,
        spares=profile.spares,
        further_spares=profile.further_spares,
    )
    if not (agenda.latency or agenda.further or agenda.drift or agenda.faults or agenda.micro):
        raise BenchError(
            "nothing to measure: scenarios, sides, measures and faults do not meet; see `queue-or-task list`"
        )
    return agenda


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f}"
