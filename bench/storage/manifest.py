"""The manifest of a run: what was asked for, where and with which versions it was measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.measures.statistics.verdict_words import MIN_PAIRS
from bench.plan.deployment import Found
from bench.plan.run_request import Order
from bench.schema import INSTRUMENT, Manifest
from bench.storage import environment


def manifest(order: Order, broker: str, here: Found) -> Manifest:
    """What `run.json` holds at the start of a run."""
    made = Manifest(
        started_at=now(),
        finished_at=None,
        interrupted=False,
        profile=order.profile.name,
        command=order.command,
        seed=order.seed,
        sides=[side.name for side in order.sides],
        scenarios=order.scenarios,
        measures=order.measures,
        plan=asdict(order.profile),
        versions=environment.versions(),
        machine=environment.machine(),
        git=environment.commit(Path(__file__).parent.parent),
        broker=broker,
        external=here.manifest(),
        noise={},
        discarded=[],
        instrument=instrument(order.out),
    )
    if order.own is not None:
        made["own_app"] = order.own.told()
    return made


def instrument(out: Path) -> dict[str, Any]:
    """What the last verification found (`bench.verify.verify`), or how to have one."""
    try:
        found = json.loads((out / INSTRUMENT).read_text())
    except (OSError, ValueError):
        found = None
    return found if isinstance(found, dict) else {"known truth": "not verified: run make verify-instrument"}


def least_pairs(manifest: Mapping[str, Any]) -> int:
    """How many pairs of blocks its plan wants before a side is called lower, MIN_PAIRS by default."""
    plan = manifest.get("plan")
    wanted = plan.get("least_pairs") if isinstance(plan, dict) else None
    return wanted if isinstance(wanted, int) else MIN_PAIRS


def now() -> str:
    """The present time, ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
