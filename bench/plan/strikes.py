"""When a fault strikes and under which load: drawn from the run's seed, before the run. Pure.

The same seed gives the same text (`to_json`), byte for byte: on every machine, in every process.
The moment and the load are the same for every side; a control run has the load of strike 0.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable
from dataclasses import dataclass

from bench.faults.spec import Fault
from bench.load import load_plan as plans
from bench.load.load_plan import Plan
from bench.own_app.own_app import OwnApp
from bench.plan.blocks import Turn
from scenarios import jobs

#: Requests a second of the other scenario, whose jobs show how far a fault reaches.
BYSTANDER_RATE = 1.0
#: The part of the load within which the fault strikes, as fractions of its length.
STRIKE_BETWEEN = (0.35, 0.65)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One block's load, and when in it the fault strikes."""

    plan: Plan
    #: Nanoseconds from the start of the load.
    strike_ns: int


def moment(turn: Turn, seed: int, own: OwnApp | None = None) -> Moment:
    """The load and the moment of a fault's turn; raise ValueError for another turn."""
    fault = turn.fault
    if fault is None:
        raise ValueError(f"{turn.name} is no fault block")
    load = draw(seed, "load", fault.number, turn.repetition).getrandbits(32)
    share = draw(seed, "strike", fault.number, turn.repetition).uniform(*STRIKE_BETWEEN)
    at_s = fault.load_s * (1.0 if fault.after_load else share)
    plan = _ours(fault, turn, load) if own is None else own.struck(fault, seed=load, prefix=turn.name)
    return Moment(plan=plan, strike_ns=int(at_s * 1e9))


def _ours(fault: Fault, turn: Turn, seed: int) -> Plan:
    return plans.make_plan(
        seed=seed,
        prefix=turn.name,
        rates={jobs.ACCOUNT_SETUP: fault.rate, jobs.WELCOME_EMAIL: BYSTANDER_RATE},
        seconds=fault.load_s,
        owners=fault.owners,
    )


def to_json(turns: Iterable[Turn], seed: int, own: OwnApp | None = None) -> str:
    """The moment of every block, in the order of their names, with a hash of its load."""
    made = {turn.name: moment(turn, seed, own) for turn in turns}
    rows = {
        name: {"strike_ns": one.strike_ns, "load_sha256": _sha256(one.plan.to_json())}
        for name, one in sorted(made.items())
    }
    return json.dumps({"seed": seed, "blocks": rows}, indent=1) + "\n"


def draw(seed: int, *parts: object) -> random.Random:
    """A generator of its own for each part of a run, from the run's seed."""
    return random.Random("/".join(map(str, (seed, *parts))))  # noqa: S311 - a plan, no secret


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
