"""The manifest of a run: what was asked for, where and with which versions it was measured."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from bench import machine
from bench.orders import Order
from bench.schema import Manifest


def manifest(order: Order, broker: str) -> Manifest:
    """What `run.json` holds at the start of a run."""
    return Manifest(
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
        versions=machine.versions(),
        machine=machine.machine(),
        git=machine.commit(Path(__file__).parent),
        broker=broker,
        noise={},
        discarded=[],
    )


def now() -> str:
    """The present time, ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
