"""Fault 3: the CRM takes the first call for each user and never answers it.

The client's own timeout (5 s in every build) is taken away: the fault asks what is left without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bench.faults.spec import Expected, Fault, do_nothing, nothing_lost
from bench.faults.target import Target

#: Seconds of the client's timeout here: longer than the block.
TIMEOUT_S = 120
NOTE = f"the client's own timeout is {TIMEOUT_S} s instead of 5"


async def prepare(target: Target) -> None:
    """Let the first call for each user hang."""
    await target.client.set_service("crm", mode="hang", times=1)


def no_timeout(_folder: Path) -> Mapping[str, str]:
    """Clients wait longer than the block lasts."""
    return {"DEPENDENCY_TIMEOUT_S": str(TIMEOUT_S)}


FAULT = Fault(
    number=3,
    slug="never-answers",
    title="the CRM never answers",
    prepare=prepare,
    strike=do_nothing,
    environment=no_timeout,
    rate=1.5,
    load_s=4.0,
    expected={
        "inprocess": Expected(
            text="the attempt times out and is tried again", holds=nothing_lost, drain_s=20.0, note=NOTE
        ),
        "inprocess-journal": Expected(
            text="the attempt times out and is tried again", holds=nothing_lost, drain_s=20.0, note=NOTE
        ),
        "celery-stock": Expected(
            text="each child is held for ever", holds=lambda row: row["stuck"] > 0, drain_s=15.0, note=NOTE
        ),
        "celery-hardened": Expected(
            text="the time limit ends the attempt, which is tried again",
            holds=nothing_lost,
            drain_s=100.0,
            note=NOTE,
        ),
    },
)
