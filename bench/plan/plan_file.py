"""What a run will do, as text: the run directory's `plan.json`, written before anything starts. Pure.

The same command and seed give the same bytes, on every machine and in every process: two runs with
the same `plan.json` put the same questions to their sides. An interrupted run is only resumed
by a version that makes the same plan.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from bench.plan import strikes
from bench.plan.run_plan import RunPlan
from bench.plan.run_request import RunRequest


def planned(request: RunRequest, run_plan: RunPlan) -> str:
    """Every block in its order; for each block of a fault its load, as a hash, and when it strikes."""
    faults: dict[str, Any] = json.loads(strikes.to_json(run_plan.faults, request.seed, request.subject))[
        "blocks"
    ]
    plan: dict[str, Any] = {
        "seed": request.seed,
        "profile": asdict(request.profile),
        "scenarios": list(request.subject.scenarios),
        "latency": [spec.name for spec in run_plan.latency],
        "further": [spec.name for spec in run_plan.further],
        "drift": [[spec.name for spec in together] for together in run_plan.drift],
        "faults": {spec.name: faults[spec.name] for spec in run_plan.faults},
        "micro": run_plan.micro,
        **request.subject.manifest(),
    }
    return json.dumps(plan, indent=1) + "\n"
