"""Fault 44: app and supervision tree are loaded before the fork: `gunicorn --preload`, two workers."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from bench.faults.spec import Expected, Fault, nothing_lost
from bench.faults.target import Target

#: What a file of events has where a job was run by its process.
STARTED = '"event":"start"'


def unavailable() -> str:
    """Why gunicorn cannot be run here."""
    return "" if find_spec("gunicorn") else "needs gunicorn: pip install 'queue-or-task[habitat]'"


def environment(_folder: Path) -> Mapping[str, str]:
    """Have gunicorn host the app, loaded before its workers."""
    return {"QUEUE_OR_TASK_HOST": "preload"}


async def strike(target: Target) -> None:
    """Note how many processes ran jobs: the fork itself has struck before the load."""
    files = target.ledger.glob("events-*.jsonl")
    texts = [file.read_text(errors="replace").replace(" ", "") for file in files]
    target.facts["workers"] = sum(STARTED in text for text in texts)


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
            holds=lambda row: nothing_lost(row) and row["accepted"] > 0 and row["workers"] > 1,
        ),
        "inprocess-journal": Expected(
            text="each worker has a runtime and a journal of its own, and none is lost",
            holds=lambda row: nothing_lost(row) and row["accepted"] > 0 and row["workers"] > 1,
        ),
    },
)
