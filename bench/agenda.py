"""Everything that one run will do, in its order. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from bench.errors import BenchError
from bench.orders import Order
from bench.plan import REQUESTED
from bench.turns import Turn, drift_turns, fault_turns, latency_turns
from scenarios.jobs import ACCOUNT_SYNC

#: Seconds that timing the call costs takes, as a guess.
MICRO_S = 12.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Agenda:
    """The turns of a run: latency one by one, drift side by side, faults in lanes, then call costs."""

    latency: list[Turn]
    drift: list[list[Turn]]
    faults: list[Turn]
    micro: bool
    #: Latency blocks that may be measured again because the first try did not count.
    spares: int = 0

    def guess_s(self, lanes: int) -> float:
        """How long it will take, for the progress bar."""
        one_by_one = sum(turn.guess_s for turn in self.latency)
        together = sum(max(turn.guess_s for turn in turns) for turns in self.drift)
        in_lanes = sum(turn.guess_s for turn in self.faults) / lanes
        return one_by_one + together + in_lanes + MICRO_S * self.micro


def make_agenda(order: Order) -> Agenda:
    """What the order comes to; raise BenchError where nothing is left to measure."""
    measures, profile = order.measures, order.profile
    requested = any(scenario in REQUESTED for scenario in order.scenarios)
    drift = drift_turns(order.sides, profile) if ACCOUNT_SYNC in order.scenarios else []
    agenda = Agenda(
        latency=latency_turns(order.sides, profile) if requested and "latency" in measures else [],
        drift=[together for together in drift if together] if "drift" in measures else [],
        faults=fault_turns(order.sides, order.faults, profile, controls=order.controls)
        if "fault" in measures
        else [],
        micro="micro" in measures,
        spares=profile.spares,
    )
    if not (agenda.latency or agenda.drift or agenda.faults or agenda.micro):
        raise BenchError(
            "nothing to measure: scenarios, sides, measures and faults do not meet; see `queue-or-task list`"
        )
    return agenda
