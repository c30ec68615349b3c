"""Fault 46: the app is deployed every 4 s, and an owner's sync is due every 6 s."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.faults.processes.deploy import PLATFORM_GRACE_S
from bench.faults.spec import CheckInput, Expected, Fault
from bench.faults.target import Target
from bench.measures.events.block import NS_PER_S
from scenarios import jobs

#: Seconds of the sync's interval, between two deploys, and the number of deploys.
INTERVAL_S, LIVES_S, DEPLOYS = 6.0, 4.0, 6
#: Seconds by which a tick may be late: an app that is being started runs none.
LATE_S = 3.0


def environment(folder: Path) -> Mapping[str, str]:
    """Have the interval, and a file that outlives the app."""
    return {
        "QUEUE_OR_TASK_SYNC_INTERVAL_S": str(INTERVAL_S),
        "QUEUE_OR_TASK_SYNC_STATE": str(folder / "last-ticks.json"),
    }


async def strike(target: Target) -> None:
    """Deploy again and again, and ask the new app for the same owners each time."""
    for _ in range(DEPLOYS):
        await asyncio.sleep(LIVES_S)
        old = target.processes.parts["app"]
        old.signal(signal.SIGTERM)
        await old.ended(within_s=PLATFORM_GRACE_S)
        old.kill()
        await target.processes.restart_app()
        for owner in target.client.owners:
            (await target.client.call("PUT", f"/sync/{owner}")).raise_for_status()
    await asyncio.sleep(INTERVAL_S)


def check(block: CheckInput) -> Mapping[str, Any]:
    """Runs of each owner between the first deploy and the last, and what was due; the gaps between runs."""
    runs: dict[str, list[int]] = {owner: [] for owner in block.owners}
    for event in block.events:
        if event["event"] == "start" and event.get("scenario") == jobs.ACCOUNT_SYNC:
            for owner in block.owners:
                if event["job"] == jobs.sync(owner) and block.on_ns <= event["t"] <= block.off_ns:
                    runs[owner].append(event["t"])
    gaps = [(later - earlier) / NS_PER_S for own in runs.values() for earlier, later in pairwise(sorted(own))]
    return {
        **block.facts,
        "deploys": DEPLOYS,
        "due": int((block.off_ns - block.on_ns) / NS_PER_S // INTERVAL_S),
        "runs": min(len(own) for own in runs.values()),
        "shortest_gap_s": min(gaps, default=0.0),
        "longest_gap_s": max(gaps, default=0.0),
    }


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
            holds=lambda row: (
                row["runs"] >= row["due"] - 1
                and row["shortest_gap_s"] >= INTERVAL_S - LATE_S
                and row["longest_gap_s"] <= INTERVAL_S + LATE_S
            ),
        ),
    },
)
