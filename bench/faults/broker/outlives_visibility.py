"""Fault 25: a job takes longer than the broker's visibility timeout.

The timeout and the sweep that enforces it are shortened alike on both profiles: at Celery's
default of an hour the fault would take a day to show.
"""

from __future__ import annotations

from bench.faults.spec import Expected, Fault, do_nothing
from bench.faults.target import Target

#: Seconds that the CRM takes; jobs behind the first two wait as long again.
JOB_S = 4.0
#: Seconds of the visibility timeout here.
VISIBILITY_S = 2
ENV = {"QUEUE_OR_TASK_VISIBILITY_TIMEOUT_S": str(VISIBILITY_S)}
NOTE = f"visibility timeout {VISIBILITY_S} s and its sweep every second, jobs of {JOB_S:.0f} s"


async def prepare(target: Target) -> None:
    """Make the CRM slow from the start."""
    await target.client.set_service("crm", mode="slow", seconds=JOB_S)


FAULT = Fault(
    number=25,
    slug="outlives-visibility",
    title="a job longer than the visibility timeout",
    prepare=prepare,
    strike=do_nothing,
    rate=1.5,
    load_s=4.0,
    linger_s=12.0,
    expected={
        "celery-stock": Expected(
            text="repeats", holds=lambda row: row["duplicated"] > 0, drain_s=25.0, note=NOTE, env=ENV
        ),
        "celery-hardened": Expected(
            text="runs once", holds=lambda row: row["duplicated"] == 0, drain_s=25.0, note=NOTE, env=ENV
        ),
    },
)
