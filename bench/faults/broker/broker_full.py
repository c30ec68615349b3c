"""Fault 22: the broker is out of memory, first under `noeviction`, then under a policy that evicts.

    worker paused | noeviction for 2 s | room again for 2 s | allkeys-random for 1 s | worker goes on

While nothing may be evicted, a publish is answered with an error. What an evicting policy throws away
is silent: the caller had its yes.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Mapping
from typing import Any

from redis import Redis

from bench.faults.spec import CheckInput, Expected, Fault
from bench.faults.target import Target

#: Seconds without room, with room again, and under the evicting policy.
FULL_S, ROOM_S, EVICTING_S = 2.0, 2.0, 1.0
#: A limit, in bytes, that any server is above.
LIMIT_BYTES = 1


async def strike(target: Target) -> None:
    """Take the broker's memory away, twice."""
    if target.processes.broker is None:
        return
    worker = target.processes.parts["worker"]
    worker.signal(signal.SIGSTOP)
    with Redis.from_url(target.processes.broker.url) as broker:
        target.facts["full_ns"] = time.monotonic_ns()
        await _limited(broker, "noeviction", FULL_S)
        target.facts["room_ns"] = time.monotonic_ns()
        await asyncio.sleep(ROOM_S)
        await _limited(broker, "allkeys-random", EVICTING_S)
    worker.signal(signal.SIGCONT)


async def _limited(broker: Redis, policy: str, seconds: float) -> None:
    broker.config_set("maxmemory-policy", policy)
    broker.config_set("maxmemory", LIMIT_BYTES)
    await asyncio.sleep(seconds)
    broker.config_set("maxmemory", 0)


def check(block: CheckInput) -> Mapping[str, Any]:
    """How many jobs were refused while nothing could be evicted."""
    full, room = (int(block.facts.get(name, 0)) for name in ("full_ns", "room_ns"))
    refused = {
        event["job"]
        for event in block.events
        if event["event"] == "refused" and "job" in event and full <= int(event["t"]) <= room + FULL_S * 1e9
    }
    return {"refused_when_full": len(refused)}


BOTH = Expected(
    text="noeviction: an error at the caller; an evicting policy: silent loss",
    holds=lambda row: row["refused_when_full"] > 0 and row["lost"] > 0,
    drain_s=20.0,
)

FAULT = Fault(
    number=22,
    slug="broker-full",
    title="the broker is out of memory",
    strike=strike,
    hits=frozenset({"broker", "worker"}),
    check=check,
    rate=6.0,
    load_s=10.0,
    expected={"celery-stock": BOTH, "celery-hardened": BOTH},
)
