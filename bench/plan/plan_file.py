"""What a run will do, as text: the run directory's `plan.json`, written before anything starts. Pure.

The same command and seed give the same bytes, on every machine and in every process: two runs with
the same `plan.json` put the same questions to their sides. An interrupted run is only gone on with
by a version that plans the same.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from bench.plan import strikes
from bench.plan.run_plan import Agenda
from bench.plan.run_request import Order


def planned(order: Order, agenda: Agenda) -> str:
    """Every block in its order; for each block of a fault its load, as a hash, and when it strikes."""
    faults: dict[str, Any] = json.loads(strikes.to_json(agenda.faults, order.seed, order.own))["blocks"]
    plan = {
        "seed": order.seed,
        "profile": asdict(order.profile),
        "scenarios": order.scenarios,
        "latency": [turn.name for turn in agenda.latency],
        "further": [turn.name for turn in agenda.further],
        "drift": [[turn.name for turn in together] for together in agenda.drift],
        "faults": {turn.name: faults[turn.name] for turn in agenda.faults},
        "micro": agenda.micro,
    }
    if order.own is not None:
        plan["own_app"] = order.own.told()
    return json.dumps(plan, indent=1) + "\n"
