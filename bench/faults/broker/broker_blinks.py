"""Fault 39: the broker blinks while a chain's first step, a task with `link` and a chord's last part end.

It is silent for 3 s, later killed and back in 0.3 s. What follows counts as an accepted job of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from bench.faults.spec import CheckInput, Events, Expected, Fault, nothing_lost, times_begun
from bench.faults.target import Target, TargetBroker
from bench.ledger.job_names import NEXT
from scenarios import jobs

#: Seconds for which it is silent, and for which it is away.
SILENT_S, AWAY_S = 3.0, 0.3
#: Seconds that the first jobs run, and before their end at which the broker is killed.
RUNS_S, BEFORE_END_S = 1.5, 0.2
#: Seconds that a job has to begin, and that what follows has after the broker is back.
BEGINS_S, FOLLOWS_S = 5.0, 8.0
#: What is handed over for each blink: as many as a worker has children.
CANVASES = (("chain", "link"), ("chord",))
BLINKS = ("silent", "killed")


async def strike(target: Target) -> None:
    """Hand over each canvas, and let the broker blink as its first jobs end: in silence, then by a kill."""
    broker = target.processes.broker
    if broker is None:
        return
    for blink in BLINKS:
        for shapes in CANVASES:
            names = [f"{blink}-{shape}" for shape in shapes]
            for name, shape in zip(names, shapes, strict=True):
                await target.client.fault_job("plain", name, seconds=RUNS_S, **{"as": shape})

            def begun(events: Events, names: Sequence[str] = names) -> bool:
                return all(times_begun(events, name) for name in names)

            def followed(events: Events, names: Sequence[str] = names) -> bool:
                return _followed(events, names) == len(names)

            await target.until(begun, within_s=BEGINS_S)
            await (_silence(broker) if blink == "silent" else _kill(target, broker))
            await target.until(followed, within_s=FOLLOWS_S)


async def _silence(broker: TargetBroker) -> None:
    broker.pause()
    try:
        await asyncio.sleep(SILENT_S)
    finally:
        broker.resume()


async def _kill(target: Target, broker: TargetBroker) -> None:
    await asyncio.sleep(RUNS_S - BEFORE_END_S)
    broker.kill()
    await asyncio.sleep(AWAY_S)
    await target.processes.restart_broker()


def _followed(events: Events, names: Sequence[str]) -> int:
    """After how many of these jobs what follows has had its effect."""
    done = [str(event["job"]) for event in events if event["event"] == "effect"]
    return sum(any(job.endswith(jobs.crm(f"{name}{NEXT}")) for job in done) for name in names)


def check(block: CheckInput) -> Mapping[str, Any]:
    """Of three, how many were followed after each blink."""
    shapes = [shape for together in CANVASES for shape in together]
    return {
        f"followed_{blink}": _followed(block.events, [f"{blink}-{shape}" for shape in shapes])
        for blink in BLINKS
    }


FAULT = Fault(
    number=39,
    slug="broker-blinks",
    title="the broker blinks while what follows a job is sent",
    strike=strike,
    after_load=True,
    hits=frozenset({"broker"}),
    fault_jobs=True,
    results_in_broker=True,
    check=check,
    rate=1.0,
    load_s=4.0,
    expected={
        "celery-stock": Expected(
            text="what follows comes late; nothing is lost", holds=nothing_lost, drain_s=40.0
        ),
        "celery-hardened": Expected(
            text="what follows comes late; nothing is lost", holds=nothing_lost, drain_s=40.0
        ),
    },
)
