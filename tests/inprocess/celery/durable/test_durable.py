"""A Celery app on a journal: transactions of the caller, parked tasks, several processes, the sets, beat."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kombu.exceptions import OperationalError

from inprocess.celery import InProcess, run_in_process
from inprocess.journal import Journal, TransactionError
from inprocess.journal.model import operations as op
from inprocess.journal.model.job import now_us

PATIENCE_S = 30.0


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'app.db'}"


@pytest.fixture
def journal(url: str) -> Iterator[Journal]:
    made = Journal(url)
    yield made
    made.close()


def test_a_job_is_written_in_the_callers_transaction(app: Any, make: Any, journal: Journal, url: str) -> None:
    ran: list[str] = []
    store = make(_appends(ran), name="store")
    with run_in_process(app, journal=journal):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level="IMMEDIATE")
        store.apply_async(("rolled back",), within=connection)
        connection.rollback()
        store.apply_async(("committed",), within=connection)
        connection.commit()
        connection.close()
        until(lambda: ran)
        assert ran == ["committed"]


def test_a_transaction_needs_a_journal_in_its_database(
    app: Any, make: Any, run: InProcess, tmp_path: Path
) -> None:
    store = make(lambda *_: None, name="store")
    connection = sqlite3.connect(tmp_path / "other.db", isolation_level="IMMEDIATE")
    with pytest.raises(TypeError, match="within= needs a journal"):
        store.apply_async((1,), within=connection)
    run.stop()
    journal = Journal(f"sqlite:///{tmp_path / 'app.db'}")
    with run_in_process(app, journal=journal), pytest.raises(TransactionError):
        store.apply_async((1,), within=connection)
    connection.close()
    journal.close()


def test_options_that_contradict_each_other_are_refused(app: Any, journal: Journal) -> None:
    with pytest.raises(ValueError, match="strict=True"):
        run_in_process(app, journal=journal, strict=False)
    with pytest.raises(ValueError, match="needs journal="):
        run_in_process(app, journal_results=True)


def test_a_task_that_has_moved_is_parked_with_the_reason_and_runs_when_it_is_back(
    app: Any, make: Any, url: str
) -> None:
    ran: list[int] = []
    task = make(_appends(ran), name="moved")
    first, second = Journal(url), Journal(url)
    with run_in_process(app, journal=first):
        task.apply_async((1,), countdown=3600)
    del app.tasks["moved"]
    with run_in_process(app, journal=second):
        (waits,) = second.scheduled
        second.scheduled.retry(waits)
        assert second.ask(op.ParkUnknown(now_us() + 1)) == 1
        (parked,) = second.parked
        assert "celery:moved" in (parked.error or "")
        app.tasks["moved"] = task
        second.parked.retry(parked)
        until(lambda: ran == [1])
    first.close()
    second.close()


def test_results_are_read_by_another_process_of_the_journal(app: Any, make: Any, url: str) -> None:
    task = make(lambda x: x + 1, name="increment")
    first, second = Journal(url), Journal(url)
    with run_in_process(app, journal=first, journal_results=True):
        sent = task.delay(1)
        assert sent.get(timeout=PATIENCE_S) == 2
    with run_in_process(app, journal=second, journal_results=True):
        assert app.AsyncResult(sent.id).get(timeout=PATIENCE_S) == 2
        sent.forget()
        assert app.AsyncResult(sent.id).state == "PENDING"
    first.close()
    second.close()


def test_an_eta_waits_as_a_row_and_holds_up_no_end(app: Any, make: Any, journal: Journal) -> None:
    task = make(lambda *_: None, name="late")
    with run_in_process(app, journal=journal) as run:
        task.apply_async((1,), countdown=3600)
    assert journal.scheduled.size() == 1
    assert run.report is not None
    assert not run.report.cut_off


def test_the_same_id_sent_twice_runs_twice_as_with_a_broker(app: Any, make: Any, journal: Journal) -> None:
    ran: list[int] = []
    task = make(_appends(ran), name="again")
    with run_in_process(app, journal=journal):
        for number in range(2):
            task.apply_async((number,), task_id="mine")
        until(lambda: len(ran) == 2)


def test_a_rejected_job_is_dead(app: Any, make: Any, journal: Journal) -> None:
    from celery.exceptions import Reject

    def refuse() -> None:
        raise Reject("not me", requeue=False)

    task = make(refuse, name="refuse", acks_late=True)
    with run_in_process(app, journal=journal):
        task.delay()
        until(journal.dead.size)
        (dead,) = journal.dead
        assert "it was rejected" in (dead.error or "")


def test_purge_deletes_the_rows_that_wait(app: Any, make: Any, journal: Journal) -> None:
    task = make(lambda *_: None, name="late")
    with run_in_process(app, journal=journal):
        task.apply_async((1,), countdown=3600)
        assert app.control.purge() == 1
        assert journal.scheduled.size() == 0


def test_beat_keeps_its_last_tick_in_the_journal_and_sends_each_tick_once(
    app: Any, make: Any, url: str
) -> None:
    ran: list[str] = []
    make(lambda: ran.append("x"), name="report")
    app.conf.beat_schedule = {"report": {"task": "report", "schedule": timedelta(hours=1)}}
    for _ in range(2):
        journal = Journal(url)
        journal.open()
        journal.ticks.save("report", 1_700_000_000.0)  # the process was killed after it had sent the tick
        with run_in_process(app, journal=journal):
            until(lambda: ran)
            until(partial(_has_ticked, journal))
        journal.close()
    assert ran == ["x"]


def _appends(to: list[Any]) -> Callable[[Any], None]:
    def append(value: Any) -> None:
        to.append(value)

    return append


def _has_ticked(journal: Journal) -> bool:
    return (journal.ticks.load("report") or 0) > 1_700_000_000.0


def test_a_database_that_cannot_be_written_refuses_the_task(
    app: Any, make: Any, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    from inprocess.journal import JournalReadOnlyError
    from inprocess.journal.stores.sqlite.store import SQLiteStore

    task = make(lambda *_: None, name="late")
    apply = SQLiteStore.apply

    def applied(self: SQLiteStore, operations: Any) -> Any:
        if any(isinstance(operation, op.Enqueue) for operation in operations):
            raise JournalReadOnlyError("read-only")
        return apply(self, operations)

    with run_in_process(app, journal=journal):
        monkeypatch.setattr(SQLiteStore, "apply", applied)
        with pytest.raises(OperationalError, match="read-only"):
            task.delay(1)
        monkeypatch.undo()
