"""Fault 44: the app is loaded before the fork: `gunicorn --preload`, two workers.

In-process it has its supervision tree by then, and with a queue its connections to the broker.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from bench.faults.spec import Expected, Fault, Row, nothing_lost, processes_with
from bench.faults.target import Target


def unavailable() -> str:
    """Why gunicorn cannot be run here."""
    return "" if find_spec("gunicorn") else "needs gunicorn: pip install 'queue-or-task[habitat]'"


def environment(_folder: Path) -> Mapping[str, str]:
    """Have gunicorn host the app, loaded before its workers."""
    return {"QUEUE_OR_TASK_HOST": "preload"}


async def strike(target: Target) -> None:
    """Note how many processes ran jobs, or handed them over: the fork itself has struck before the load."""
    target.facts["workers"] = processes_with(target, "accepted" if target.queued else "start")


def _each_works(row: Row) -> bool:
    return nothing_lost(row) and row["accepted"] > 0 and row["workers"] > 1


QUEUE = Expected(text="each worker has connections of its own, and none is lost", holds=_each_works)

FAULT = Fault(
    number=44,
    slug="loaded-before-fork",
    title="the app is loaded before the fork",
    strike=strike,
    after_load=True,
    unavailable=unavailable,
    environment=environment,
    rate=4.0,
    expected={
        "inprocess": Expected(
            text="each worker has a runtime of its own, and none is lost",
            holds=_each_works,
        ),
        "inprocess-journal": Expected(
            text="each worker has a runtime and a journal of its own, and none is lost",
            holds=_each_works,
        ),
        "celery-stock": QUEUE,
        "celery-hardened": QUEUE,
    },
)
