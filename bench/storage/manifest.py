"""The manifest of a run: its request, its machine and its versions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from bench.measures.statistics.verdict_words import MIN_PAIRS
from bench.plan.deployment import Deployment
from bench.plan.run_request import RunRequest
from bench.schema import INSTRUMENT, Manifest
from bench.storage import environment


def manifest(request: RunRequest, broker: str, deployment: Deployment) -> Manifest:
    """The content of `run.json` at the start of a run."""
    made = Manifest(
        started_at=now(),
        finished_at=None,
        interrupted=False,
        profile=request.profile.name,
        command=request.command,
        seed=request.seed,
        sides=[side.name for side in request.sides],
        scenarios=list(request.subject.scenarios),
        measures=request.measures,
        plan=asdict(request.profile),
        versions=environment.versions(),
        machine=environment.machine(),
        git=environment.commit(Path(__file__).parent.parent),
        broker=broker,
        external=deployment.manifest(),
        noise={},
        discarded=[],
        instrument=instrument(request.out),
    )
    return cast("Manifest", {**made, **request.subject.manifest()})


def instrument(out: Path) -> dict[str, Any]:
    """The result of the last verification (`bench.verify.verify`), or how to make one."""
    try:
        found = json.loads((out / INSTRUMENT).read_text())
    except (OSError, ValueError):
        found = None
    return found if isinstance(found, dict) else {"known truth": "not verified: run make verify-instrument"}


def least_pairs(manifest: Mapping[str, Any]) -> int:
    """Pairs of blocks that its plan requires before a side is called lower; MIN_PAIRS by default."""
    plan = manifest.get("plan")
    wanted = plan.get("least_pairs") if isinstance(plan, dict) else None
    return wanted if isinstance(wanted, int) else MIN_PAIRS


def now() -> str:
    """The present time, ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
