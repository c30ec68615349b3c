"""Fault 27: the wall clock jumps by 60 s forwards, then 60 s backwards of the truth, then back.

Only the processes of the side and the services jump (`clock_shift`). The broker keeps the true time.
"""

from __future__ import annotations

import asyncio

from bench.faults.clock_shift import SHIFT, preloaded, shift_clock, unavailable
from bench.faults.spec import Expected, Fault
from bench.faults.target import Target
from bench.faults.tick_checker import ticks
from scenarios import jobs

#: Seconds of each jump, and until the next.
JUMPS_S = (60, -60, 0)
STAYS_S = 3.0


async def strike(target: Target) -> None:
    """Jump, stay, jump the other way, stay, jump back."""
    for jump_s in JUMPS_S:
        shift_clock(target.folder / SHIFT, jump_s)
        await asyncio.sleep(STAYS_S)


QUEUE = Expected(
    text="beat fires at once or goes silent",
    holds=lambda row: row["missed"] > 0 or row["bursts"] > 0 or row["duplicates"] > 0,
)

FAULT = Fault(
    number=27,
    slug="clock-jumps",
    title="the wall clock jumps ± 60 s",
    strike=strike,
    scenario=jobs.ACCOUNT_SYNC,
    unavailable=unavailable,
    environment=preloaded,
    check=ticks,
    owners=2,
    rate=1.0,
    load_s=20.0,
    expected={
        "inprocess": Expected(
            text="none: its clock is monotonic",
            holds=lambda row: row["missed"] == row["bursts"] == row["duplicates"] == 0,
        ),
        "inprocess-journal": Expected(
            text="none: its clock is monotonic",
            holds=lambda row: row["missed"] == row["bursts"] == row["duplicates"] == 0,
        ),
        "celery-stock": QUEUE,
        "celery-hardened": QUEUE,
    },
)
