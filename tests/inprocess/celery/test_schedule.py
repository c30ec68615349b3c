"""An app's `beat_schedule`, run in-process: intervals, crontabs, arguments, and a run that wants none."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from celery.schedules import crontab

from inprocess.celery import run_in_process

PATIENCE_S = 20.0

Make = Callable[..., Any]

#: 200 ms before the new year.
EVE = datetime(2026, 12, 31, 23, 59, 59, 800_000, tzinfo=UTC)


def test_an_entry_runs_again_and_again_with_its_arguments(app: Any, make: Make) -> None:
    ran: queue.Queue[tuple[int, str]] = queue.Queue()
    make(lambda number, word: ran.put((number, word)), name="often")
    app.conf.beat_schedule = {
        "often": {"task": "often", "schedule": 0.05, "args": (7,), "kwargs": {"word": "seven"}}
    }
    with run_in_process(app, grace_s=1.0):
        assert [ran.get(timeout=PATIENCE_S) for _ in range(3)] == [(7, "seven")] * 3


def test_a_crontab_runs_when_its_minute_comes_and_one_of_another_hour_does_not(app: Any, make: Make) -> None:
    began = time.monotonic()
    ran: queue.Queue[str] = queue.Queue()
    for name in ("greet", "lunch"):
        make(lambda name=name: ran.put(name), name=name)

    def now() -> datetime:
        return EVE + timedelta(seconds=time.monotonic() - began)

    midnight = crontab(minute=0, hour=0, day_of_month=1, month_of_year=1, nowfun=now)
    app.conf.beat_schedule = {
        "greet": {"task": "greet", "schedule": midnight},
        "lunch": {"task": "lunch", "schedule": crontab(minute=0, hour=12, nowfun=now)},
    }
    with run_in_process(app, grace_s=1.0):
        assert ran.get(timeout=PATIENCE_S) == "greet"
    assert now() >= EVE + timedelta(seconds=0.2)
    assert ran.empty()


def test_a_run_that_wants_no_beat_sends_nothing_by_itself(app: Any, make: Make) -> None:
    make(lambda: None, name="often")
    app.conf.beat_schedule = {"often": {"task": "often", "schedule": 0.001}}
    with run_in_process(app, grace_s=1.0) as run:
        assert "celery.beat" in dict(run.tree.which_children())
    with run_in_process(app, grace_s=1.0, beat=False) as run:
        assert "celery.beat" not in dict(run.tree.which_children())
