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
from typing import Any

from bench.load.load_plan import LoadPlan
from bench.plan.blocks import BlockSpec
from bench.plan.subject import Subject

#: The part of the load within which the fault strikes, as fractions of its length.
STRIKE_BETWEEN = (0.35, 0.65)


@dataclass(frozen=True, slots=True, kw_only=True)
class StrikePlan:
    """One block's load, and when in it the fault strikes."""

    plan: LoadPlan
    #: Nanoseconds from the start of the load.
    strike_ns: int


def strike_plan(spec: BlockSpec, seed: int, subject: Subject[Any], *, retry: int = 0) -> StrikePlan:
    """The load of a fault block and when the fault strikes; raise ValueError for another block.

    Each `retry` of a strike that exposed no job has the same load and a moment of its own.
    """
    fault = spec.fault
    if fault is None:
        raise ValueError(f"{spec.name} is no fault block")
    load = draw(seed, "load", fault.number, spec.repetition).getrandbits(32)
    tries = (retry,) if retry else ()
    share = draw(seed, "strike", fault.number, spec.repetition, *tries).uniform(*STRIKE_BETWEEN)
    at_s = fault.load_s * (1.0 if fault.after_load else share)
    plan = subject.strike_load(fault, seed=load, prefix=spec.name)
    return StrikePlan(plan=plan, strike_ns=int(at_s * 1e9))


def to_json(specs: Iterable[BlockSpec], seed: int, subject: Subject[Any]) -> str:
    """The moment of every block, in the order of their names, with a hash of its load."""
    made = {spec.name: strike_plan(spec, seed, subject) for spec in specs}
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
