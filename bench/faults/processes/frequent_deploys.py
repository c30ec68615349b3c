"""Fault 46: what makes the ticks is deployed every 4 s, and an owner's sync is due every 6 s.

That is the app, or with a queue beat.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.faults.spec import CheckInput, Expected, Fault, Row
from bench.faults.target import Target
from bench.measures.events.block import NS_PER_S
from scenarios import jobs

#: Seconds of the sync's interval, between two deploys, and the number of deploys.
INTERVAL_S, LIVES_S, DEPLOYS = 6.0, 4.0, 6
#: Seconds by which a run may seem to begin before its tick: two clocks are read for that.
TOLERANCE_S = 0.1
#: The file with the last ticks, in the block's folder.
STATE = "last-ticks.json"


def environment(folder: Path) -> Mapping[str, str]:
    """Have the interval, and a file that outlives the app."""
    return {
        "QUEUE_OR_TASK_SYNC_INTERVAL_S": str(INTERVAL_S),
        "QUEUE_OR_TASK_SYNC_STATE": str(folder / STATE),
    }


async def strike(target: Target) -> None:
    """Deploy again and again, and ask the new app for the same owners each time.

    Note how many ticks of an owner passed by whole, because a deploy took longer than the interval, and a
    tick of each owner's grid.
    """
    passed_by = 0
    for _ in range(DEPLOYS):
        await asyncio.sleep(LIVES_S)
        began = time.monotonic()
        await target.processes.deploy("beat" if target.queued else "app")
        for owner in () if target.queued else target.client.owners:
            (await target.client.call("PUT", f"/sync/{owner}")).raise_for_status()
        passed_by += int((time.monotonic() - began) // INTERVAL_S)
    await asyncio.sleep(INTERVAL_S)
    target.facts["passed_by"] = passed_by
    for owner, ago_s in _last_ticks_ago_s(target).items():
        target.facts[f"{owner}_ns"] = time.monotonic_ns() - int(ago_s * NS_PER_S)


def _last_ticks_ago_s(target: Target) -> dict[str, float]:
    """Seconds since the last tick of each owner: by the app's file, or on the leased beat's grid since 1970.

    Celery's own beat has no grid; its runs are an interval apart, so that none shares a tick of this one.
    """
    now = time.time()
    if target.queued:
        return dict.fromkeys(target.client.owners, now % INTERVAL_S)
    state = target.folder / STATE
    kept = json.loads(state.read_text()) if state.exists() else {}
    return {
        owner: now - datetime.fromisoformat(kept[jobs.sync(owner)]).timestamp()
        for owner in (target.client.owners if kept else ())
    }


def check(block: CheckInput) -> Mapping[str, Any]:
    """Ticks that were due since the strike began, and of the owner with the fewest: those that were run.

    A tick that came while its scheduler was away is run late; one that is run twice is `doubled`.
    """
    runs: dict[str, list[int]] = {owner: [] for owner in block.owners}
    for event in block.events:
        if event["event"] == "start" and event.get("scenario") == jobs.ACCOUNT_SYNC:
            for owner in block.owners:
                if event["job"] == jobs.sync(owner) and block.on_ns <= event["t"] <= block.off_ns:
                    runs[owner].append(event["t"])
    ticks = {
        owner: [
            ((at - block.facts.get(f"{owner}_ns", block.on_ns)) / NS_PER_S + TOLERANCE_S) // INTERVAL_S
            for at in own
        ]
        for owner, own in runs.items()
    }
    return {
        **block.facts,
        "due": int((block.off_ns - block.on_ns) / NS_PER_S // INTERVAL_S),
        "runs": min(len(set(own)) for own in ticks.values()),
        "doubled": sum(len(own) - len(set(own)) for own in ticks.values()),
    }


def _at_its_interval(row: Row) -> bool:
    return row["runs"] + row["passed_by"] >= row["due"] - 1 and not row["doubled"]


FAULT = Fault(
    number=46,
    slug="frequent-deploys",
    title="deploys more often than the interval",
    strike=strike,
    scenario=jobs.ACCOUNT_SYNC,
    environment=environment,
    check=check,
    owners=2,
    rate=1.0,
    load_s=10.0,
    expected={
        "inprocess": Expected(
            text="runs at its interval, since it keeps its last tick; none twice",
            holds=_at_its_interval,
        ),
        "inprocess-journal": Expected(
            text="runs at its interval, since it keeps its last tick; none twice",
            holds=_at_its_interval,
        ),
        "celery-stock": Expected(
            text="runs at its interval, since beat keeps its last run in a file", holds=_at_its_interval
        ),
        "celery-hardened": Expected(
            text="runs at its interval, since the broker keeps its last tick; none twice",
            holds=_at_its_interval,
        ),
    },
)
