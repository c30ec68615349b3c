"""Fault 34: another client locks the database against writers for 5 s."""

from __future__ import annotations

import asyncio

from sqlalchemy import create_engine, text

from bench.faults.spec import Expected, Fault, nothing_lost
from bench.faults.target import Target

#: Seconds of the lock.
LOCKED_S = 5.0
#: The loop's lag (ms) from which it was stopped.
STOPPED_MS = 1000.0
#: What locks the tables against writers, by the database's dialect.
LOCKS = {"sqlite": "BEGIN IMMEDIATE", "postgresql": "LOCK TABLE users, balances IN EXCLUSIVE MODE"}


async def strike(target: Target) -> None:
    """Lock, wait, let go."""
    engine = create_engine(target.processes.env["DATABASE_URL"])
    try:
        await asyncio.to_thread(engine.connect().close)
        with engine.connect() as connection:
            connection.execute(text(LOCKS[engine.dialect.name]))
            await asyncio.sleep(LOCKED_S)
            connection.rollback()
    finally:
        engine.dispose()


QUEUE = Expected(text="a slot waits; none is lost", holds=nothing_lost, drain_s=75.0)

FAULT = Fault(
    number=34,
    slug="database-locked",
    title=f"the database is locked for {LOCKED_S:.0f} s",
    strike=strike,
    timed=True,
    rate=3.0,
    load_s=8.0,
    expected={
        "inprocess": Expected(
            text="waits; the loop goes on, as the driver is kept off it",
            holds=lambda row: nothing_lost(row) and row["lag_max_ms"] < STOPPED_MS,
            drain_s=25.0,
        ),
        "inprocess-journal": Expected(
            text="the caller waits or is refused; none is lost, the loop goes on",
            holds=lambda row: nothing_lost(row) and row["lag_max_ms"] < STOPPED_MS,
            drain_s=25.0,
        ),
        "celery-stock": QUEUE,
        "celery-hardened": QUEUE,
    },
)
