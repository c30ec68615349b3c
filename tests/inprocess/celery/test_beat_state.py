"""The in-process beat keeps its last runs, as Celery's own does in its celerybeat-schedule."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.schedules import crontab

from inprocess import FileTickStore, SqliteTickStore
from inprocess.celery import run_in_process
from inprocess.celery.beat import BeatScheduler
from inprocess.supervision.periodic.tick_store import wait_until_saved

PATIENCE_S = 20.0
Make = Callable[..., Any]


def test_an_interval_longer_than_each_run_lives_is_kept_over_the_runs(
    app: Any, make: Make, tmp_path: Path
) -> None:
    ran: queue.Queue[float] = queue.Queue()
    make(lambda: ran.put(time.time()), name="report")
    app.conf.beat_schedule = {"report": {"task": "report", "schedule": 1.5}}
    end = time.monotonic() + 60
    lives = 0
    while ran.qsize() < 2:
        assert time.monotonic() < end
        lives += 1
        with run_in_process(app, grace_s=1.0, beat_state=FileTickStore(tmp_path / "beat.json")):
            time.sleep(0.6)
    assert lives > 2
    first, second = ran.get(), ran.get()
    assert second - first >= 1.4
    assert FileTickStore(tmp_path / "beat.json").load("report") is not None


def test_what_came_due_while_no_beat_ran_is_sent_once_at_the_start(
    app: Any, make: Make, tmp_path: Path
) -> None:
    ran: queue.Queue[str] = queue.Queue()
    make(lambda: ran.put("x"), name="report")
    app.conf.beat_schedule = {"report": {"task": "report", "schedule": timedelta(hours=1)}}
    store = SqliteTickStore(tmp_path / "beat.db")
    store.save("report", time.time() - 5.5 * 3600)
    with run_in_process(app, grace_s=1.0, beat_state=store):
        assert ran.get(timeout=PATIENCE_S) == "x"
        time.sleep(0.3)
    assert ran.empty()
    last = store.load("report")
    assert last is not None
    assert time.time() - last < PATIENCE_S


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_a_last_run_is_the_same_moment_in_the_zone_of_the_app(app: Any, zone: str, tmp_path: Path) -> None:
    app.conf.timezone = zone
    app.conf.beat_schedule = {
        "nightly": {"task": "nightly", "schedule": crontab(minute=0, hour=3)},
        "hourly": {"task": "hourly", "schedule": 3600.0},
    }
    store = FileTickStore(tmp_path / "beat.json")
    moment = datetime(2026, 7, 1, 1, 0, tzinfo=UTC).timestamp()
    store.save("nightly", moment)
    store.save("hourly", time.time() + 1e6)  # of a clock that was wrong
    scheduler: Any = BeatScheduler(app, store=store)
    assert scheduler.schedule["nightly"].last_run_at.timestamp() == moment
    assert scheduler.schedule["nightly"].is_due().is_due
    assert not scheduler.schedule["hourly"].is_due().is_due
    assert wait_until_saved()
    last = store.load("hourly")
    assert last is not None
    assert abs(time.time() - last) < PATIENCE_S


def test_a_beat_that_keeps_nothing_says_so_for_what_is_due_once_a_day_or_less(
    app: Any, caplog: pytest.LogCaptureFixture
) -> None:
    app.conf.beat_schedule = {
        "often": {"task": "often", "schedule": 60.0},
        "nightly": {"task": "nightly", "schedule": crontab(minute=0, hour=3)},
        "daily": {"task": "daily", "schedule": timedelta(days=1)},
    }
    BeatScheduler(app)
    (said,) = [record.message for record in caplog.records]
    assert said == (
        "the beat keeps no last run, so what is due once a day or less often begins anew at each start "
        "(daily): give run_in_process(beat_state=FileTickStore(path))"
    )


def test_celerys_own_beat_agrees_on_what_is_due_after_a_restart(app: Any, tmp_path: Path) -> None:
    """Its file, and our store, with the same last runs: the same entries are due."""
    from celery.beat import PersistentScheduler  # late: it opens a file

    schedule = {
        f"every {hours} h": {"task": "t", "schedule": timedelta(hours=hours)} for hours in range(1, 8)
    }
    app.conf.beat_schedule = schedule
    then = datetime.now(UTC) - timedelta(hours=3, minutes=30)
    theirs: Any = PersistentScheduler(app, schedule_filename=str(tmp_path / "celerybeat-schedule"))
    for entry in theirs.schedule.values():
        entry.last_run_at = then
    theirs.close()
    other: Any = Celery("other", set_as_current=False)
    other.conf.beat_schedule = schedule
    again: Any = PersistentScheduler(other, schedule_filename=str(tmp_path / "celerybeat-schedule"))
    store = FileTickStore(tmp_path / "beat.json")
    for name in schedule:
        store.save(name, then.timestamp())
    ours: Any = BeatScheduler(app, store=store)

    def due(scheduler: Any) -> set[str]:
        return {
            name for name, entry in scheduler.schedule.items() if name in schedule and entry.is_due().is_due
        }

    assert due(ours) == due(again) == {"every 1 h", "every 2 h", "every 3 h"}
    again.close()
