"""Fault 31: a burst of 1,000 jobs, all within 2 s."""

from __future__ import annotations

from bench.faults.spec import Expected, Fault, do_nothing, nothing_lost

#: Users a second, each of two jobs, and seconds of the burst.
RATE, SECONDS = 250.0, 2.0

QUEUE = Expected(
    text="the rest waits its turn: late, none is lost",
    holds=lambda row: nothing_lost(row) and row["late"] > 0,
    drain_s=75.0,
)

FAULT = Fault(
    number=31,
    slug="burst",
    title="a burst of 1,000",
    strike=do_nothing,
    timed=True,
    rate=RATE,
    load_s=SECONDS,
    expected={
        "inprocess": Expected(
            text="bounded: the rest waits or is refused visibly", holds=nothing_lost, drain_s=60.0
        ),
        "inprocess-journal": Expected(text="rows that wait; none is lost", holds=nothing_lost, drain_s=60.0),
        "celery-stock": QUEUE,
        "celery-hardened": QUEUE,
    },
)
