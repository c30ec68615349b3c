"""What a run leaves out because parts of it are elsewhere, each block with its reason. Pure.

Nothing that is not ours is struck, and no stamps of two hosts are subtracted.
"""

from __future__ import annotations

from dataclasses import replace

from bench.errors import BenchError
from bench.faults.spec import Fault, no_environment, noted
from bench.plan.blocks import Turn
from bench.plan.deployment import Found
from bench.plan.run_plan import Agenda
from bench.world.broker import URL_VARIABLE

#: Measures all of whose figures lie between a stamp of the services and one of the run's host.
AGAINST_THE_SERVICES = ("capacity", "load", "cold")
#: Measures that need workers which start, end and are set up with the block.
OWN_WORKERS = ("capacity", "load", "cold", "owners", "hogs", "drift")


def possible(agenda: Agenda, here: Found) -> tuple[Agenda, list[tuple[Turn, str]]]:
    """What of the agenda can be measured with these parts, and the rest: each turn with the reason."""
    refused: list[tuple[Turn, str]] = []

    def able(turn: Turn) -> bool:
        if reason := unmeasurable(turn, here):
            refused.append((turn, reason))
        return not reason

    together = [[turn for turn in turns if able(turn)] for turns in agenda.drift]
    left = replace(
        agenda,
        further=[turn for turn in agenda.further if able(turn)],
        drift=[turns for turns in together if turns],
        faults=[turn for turn in agenda.faults if able(turn)],
    )
    return left, refused


def check_some_is_possible(agenda: Agenda, here: Found) -> None:
    """Raise BenchError where nothing of the agenda can be measured with these parts."""
    left, refused = possible(agenda, here)
    if refused and not (left.latency or left.further or left.drift or left.faults or left.micro):
        turn, reason = refused[0]
        raise BenchError(f"nothing can be measured so: {turn.label}: {reason}")


def unmeasurable(turn: Turn, here: Found) -> str:
    """Why the turn cannot be measured with the parts that are elsewhere, or nothing."""
    if turn.fault is not None:
        return _unstrikable(turn.fault, turn, here)
    if here.world_apart and turn.measure in AGAINST_THE_SERVICES:
        return f"{turn.measure} would subtract stamps of two hosts: leave out --world-url"
    if here.workers_of(turn.side) and turn.measure in OWN_WORKERS:
        return f"{turn.measure} needs workers of the run's own: leave out --external-workers"
    return ""


def _unstrikable(fault: Fault, turn: Turn, here: Found) -> str:
    struck = fault.hits if turn.side.queued else frozenset[str]()
    if "broker" in struck and here.broker_url:
        return f"it strikes the broker, which is not ours: leave out --broker-url and {URL_VARIABLE}"
    if here.workers_of(turn.side):
        if "worker" in struck:
            return "it strikes the worker, which is not ours: leave out --external-workers"
        if _sets_workers_up(fault, turn):
            return "it needs workers that are set up for it: leave out --external-workers"
    if here.world_apart and fault.look is not noted:
        return "its checker would compare stamps of two hosts: leave out --world-url"
    return ""


def _sets_workers_up(fault: Fault, turn: Turn) -> bool:
    variables = bool(fault.expected[turn.side.name].env) or fault.environment is not no_environment
    return variables or bool(fault.proxied) or fault.rabbitmq
