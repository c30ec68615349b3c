"""Fault 47: the broker is a read-only replica for some seconds, as in a failover that is taken back."""

from __future__ import annotations

import asyncio

from redis import Redis

from bench.faults.spec import Expected, Fault, nothing_lost, wait_for_running_job
from bench.faults.target import Target

#: Seconds as a replica.
REPLICA_S = 5.0
#: An address at which no master answers, so that the replica keeps what it has.
NOWHERE = ("127.0.0.1", 1)


async def strike(target: Target) -> None:
    """Make it a replica, wait, make it a master again."""
    if target.processes.broker is None:
        return
    await wait_for_running_job(target)
    with Redis.from_url(target.processes.broker.url) as broker:
        broker.execute_command("REPLICAOF", *NOWHERE)
        try:
            await asyncio.sleep(REPLICA_S)
        finally:
            broker.execute_command("REPLICAOF", "NO", "ONE")
    target.facts["worker"] = "lives" if target.processes.parts["worker"].exit_code() is None else "ended"


FAULT = Fault(
    number=47,
    slug="read-only-replica",
    title="the broker is a read-only replica for 5 s",
    strike=strike,
    hits=frozenset({"broker"}),
    outlasts_strike=True,
    rate=2.0,
    load_s=8.0,
    expected={
        "celery-stock": Expected(
            text="the worker ends, so that jobs are stuck",
            holds=lambda row: row["worker"] == "ended" and row["stuck"] > 0,
            drain_s=25.0,
        ),
        "celery-hardened": Expected(
            text="callers are refused meanwhile; the worker waits and goes on, and no accepted job is lost",
            holds=lambda row: nothing_lost(row) and row["worker"] == "lives",
            drain_s=25.0,
        ),
    },
)
