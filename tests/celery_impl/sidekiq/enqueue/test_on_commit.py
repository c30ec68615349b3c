"""Jobs that wait for a commit: sent after the outermost one, never after a rollback, of a real database."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from celery import Celery, signals
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, scoped_session, sessionmaker

from celery_impl.sidekiq import ArgumentsError, Duplicate, Sidekiq
from celery_impl.sidekiq.enqueue.on_commit import DeferredJob, NotSentError, delay_on_commit
from celery_impl.sidekiq.limits import unique
from tests.celery_impl.conftest import ROOT


class Base(DeclarativeBase):
    pass


class Row(Base):
    __tablename__ = "rows"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)


@pytest.fixture
def engine(tmp_path: Any) -> Iterator[Any]:
    """SQLite, with the driver's own transactions off, so that savepoints are real."""
    made = create_engine(f"sqlite:///{tmp_path / 'rows.db'}")
    event.listen(made, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
    event.listen(made, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    Base.metadata.create_all(made)
    yield made
    made.dispose()


@pytest.fixture
def note(lab: Any) -> Any:
    """The one task of an app."""
    app = Celery("commits", broker=lab.broker.url)
    Sidekiq(app, enqueue_within_s=0.5)

    @app.task(name="commits.note", ignore_result=True, shared=False)
    def noted(job: Any, **_: Any) -> Any:
        return job

    return noted


def sent(lab: Any) -> list[str]:
    """The jobs in the queue by their first argument, oldest first."""
    found = [json.loads(entry)["headers"] for entry in lab.redis.lrange("celery", 0, -1)[::-1]]
    return [header["argsrepr"].strip("[(,)]'") for header in found]


def test_a_job_is_sent_after_the_commit_and_not_before(lab: Any, engine: Any, note: Any) -> None:
    with Session(engine) as session:
        session.add(Row(name="a"))
        session.flush()
        result = note.delay_on_commit("a", session=session)
        assert sent(lab) == []
        session.commit()

    assert sent(lab) == ["a"]
    [message] = lab.redis.lrange("celery", 0, -1)
    assert json.loads(message)["headers"]["id"] == result.id


def test_when_the_job_is_sent_another_connection_sees_the_row(engine: Any, note: Any) -> None:
    seen: list[Any] = []

    def look(**_: Any) -> None:
        with engine.connect() as other:
            seen.extend(other.execute(text("select name from rows")).scalars())

    signals.before_task_publish.connect(look)
    try:
        with Session(engine) as session, session.begin():
            session.add(Row(name="a"))
            note.delay_on_commit("a", session=session)
    finally:
        signals.before_task_publish.disconnect(look)

    assert seen == ["a"]


def roll_back(session: Session) -> None:
    session.rollback()


def close(session: Session) -> None:
    session.close()


def fail(_session: Session) -> None:
    raise LookupError


def break_a_constraint(session: Session) -> None:
    session.add(Row(name="taken"))


@pytest.mark.parametrize("end", [roll_back, close, fail, break_a_constraint])
def test_a_job_of_a_transaction_that_did_not_commit_is_dropped_for_good(
    lab: Any, engine: Any, note: Any, end: Any
) -> None:
    with Session(engine) as before, before.begin():
        before.add(Row(name="taken"))
    session = Session(engine)
    with suppress(LookupError, IntegrityError), session.begin():
        session.add(Row(name="a"))
        note.delay_on_commit("dropped", session=session)
        end(session)
    assert not [found for found in gc.get_objects() if isinstance(found, DeferredJob)], "the session lives on"
    with session.begin():
        note.delay_on_commit("next", session=session)
    session.close()

    assert sent(lab) == ["next"]


def test_a_savepoint_hands_its_jobs_on_and_one_that_is_rolled_back_takes_them_with_it(
    lab: Any, engine: Any, note: Any
) -> None:
    with Session(engine) as session, session.begin():
        note.delay_on_commit("first", session=session)
        with session.begin_nested():
            note.delay_on_commit("kept", session=session)
            with suppress(LookupError), session.begin_nested():
                note.delay_on_commit("dropped", session=session)
                fail(session)
            with session.begin_nested():
                note.delay_on_commit("kept too", session=session)
        with session.begin_nested() as savepoint:
            with session.begin_nested():
                note.delay_on_commit("released, then dropped", session=session)
            savepoint.rollback()
        note.delay_on_commit("last", session=session)
        assert sent(lab) == []

    assert sent(lab) == ["first", "kept", "kept too", "last"]


def test_a_job_may_be_asked_for_while_the_session_flushes(lab: Any, engine: Any, note: Any) -> None:
    def after_insert(_mapper: Any, _connection: Any, row: Any) -> None:
        note.delay_on_commit(row.name, session=session)

    event.listen(Row, "after_insert", after_insert)
    try:
        session = Session(engine)
        with session.begin():
            session.add(Row(name="a"))
        session.add(Row(name="b"))
        session.flush()
        session.rollback()
        session.close()
    finally:
        event.remove(Row, "after_insert", after_insert)

    assert sent(lab) == ["a"]


def test_a_session_that_has_not_begun_begins(lab: Any, engine: Any, note: Any) -> None:
    with Session(engine) as session:
        note.delay_on_commit("a", session=session)
        assert session.in_transaction()
        assert sent(lab) == []
        session.commit()

    assert sent(lab) == ["a"]


def test_what_cannot_be_sent_is_refused_at_the_call(lab: Any, engine: Any, note: Any) -> None:
    with Session(engine) as session, session.begin():
        with pytest.raises(ArgumentsError, match=r"args\[0\]"):
            note.delay_on_commit(Row(name="a"), session=session)
        with pytest.raises(TypeError, match="job"):
            note.delay_on_commit(session=session)
        with pytest.raises(TypeError, match="needs session="):
            note.delay_on_commit("a")
        with pytest.raises(TypeError, match="expected a session"):
            note.delay_on_commit("a", session=engine)

    assert sent(lab) == []


def test_the_arguments_are_those_of_the_call(lab: Any, engine: Any, note: Any) -> None:
    names = ["a"]
    with Session(engine) as session, session.begin():
        note.delay_on_commit(names, session=session)
        names.append("b")

    assert sent(lab) == ["a"]


def test_a_broker_that_is_away_raises_after_the_commit_with_all_that_was_not_sent(
    lab: Any, engine: Any, note: Any
) -> None:
    lab.broker.pause()
    with Session(engine) as session:
        session.add(Row(name="a"))
        first = note.delay_on_commit("one", session=session)
        second = note.delay_on_commit("two", token="hunter2", session=session)  # noqa: S106 - not to be shown
        with pytest.raises(
            NotSentError, match=r"committed, but not sent .*\('one'\).*\('two', token="
        ) as caught:
            session.commit()
        assert [row.name for row in session.query(Row)] == ["a"], "the session works on"
        session.commit()
    lab.broker.resume()

    assert [job.job_id for job in caught.value.jobs] == [first.id, second.id]
    assert "hunter2" not in str(caught.value)


def test_with_a_buffer_the_jobs_of_a_commit_are_kept(lab: Any, engine: Any) -> None:
    lab.app = "buffered_app"
    sample = lab.sample(BUFFER="10")
    lab.broker.kill()
    with Session(engine) as session, session.begin():
        sample.note.delay_on_commit("one", session=session)
        sample.note.delay_on_commit("two", session=session)
    lab.broker.restart()

    lab.eventually(lambda: sent(lab) == ["one", "two"])


def test_a_duplicate_found_after_the_commit_is_not_sent_and_harms_nobody(
    lab: Any, engine: Any, note: Any
) -> None:
    single = note.app.task(name="commits.single", sidekiq_unique="until_done", shared=False)(note.run)
    with Session(engine) as session, session.begin():
        first = single.delay_on_commit("a", session=session)
        single.delay_on_commit("a", session=session)
        note.delay_on_commit("b", session=session)

    assert sent(lab) == ["a", "b"]
    assert unique.holder(single, "a") == first.id
    assert isinstance(single.delay("a"), Duplicate)


def test_scoped_and_asynchronous_sessions_are_taken_too(lab: Any, engine: Any, note: Any) -> None:
    from sqlalchemy.ext.asyncio import AsyncSession

    scoped = scoped_session(sessionmaker(engine))
    delay_on_commit(scoped, note, "scoped")
    scoped.commit()
    scoped.remove()

    async def asynchronous() -> None:
        session = AsyncSession()
        note.delay_on_commit("async", session=session)
        await session.commit()
        await session.close()

    asyncio.run(asynchronous())
    assert sent(lab) == ["scoped", "async"]


def test_two_sessions_know_nothing_of_each_other(lab: Any, engine: Any, note: Any) -> None:
    with Session(engine) as one, Session(engine) as two:
        note.delay_on_commit("one", session=one)
        note.delay_on_commit("two", session=two)
        two.commit()
        assert sent(lab) == ["two"]
        one.rollback()

    assert sent(lab) == ["two"]


class CommitMachine(RuleBasedStateMachine):
    """The model: a stack of lists, one for each open transaction; `rows` is checked against the database."""

    lab: Any
    engine: Any
    note: Any

    def __init__(self) -> None:
        super().__init__()
        self.lab.redis.flushall()
        with self.engine.begin() as connection:
            connection.execute(text("delete from rows"))
        self.session = Session(self.engine)
        self.stack: list[list[str]] = []
        self.savepoints: list[Any] = []
        self.expected: list[str] = []
        self.number = 0

    def teardown(self) -> None:
        self.session.close()

    @precondition(lambda self: not self.stack)
    @rule()
    def begin(self) -> None:
        self.session.begin()
        self.stack.append([])

    @precondition(lambda self: self.stack)
    @rule()
    def job(self) -> None:
        self.number += 1
        name = f"job{self.number}"
        self.session.add(Row(name=name))
        self.note.delay_on_commit(name, session=self.session)
        self.stack[-1].append(name)

    @precondition(lambda self: 0 < len(self.stack) < 4)
    @rule()
    def nest(self) -> None:
        self.savepoints.append(self.session.begin_nested())
        self.stack.append([])

    @precondition(lambda self: self.savepoints)
    @rule(which=st.integers(0, 2), good=st.booleans())
    def end_savepoint(self, which: int, good: bool) -> None:  # noqa: FBT001 - hypothesis passes by name
        """End a savepoint, perhaps with others inside, which end the same way."""
        place = min(which, len(self.savepoints) - 1)
        savepoint = self.savepoints[place]
        (savepoint.commit if good else savepoint.rollback)()
        inside = [name for jobs in self.stack[place + 1 :] for name in jobs]
        del self.stack[place + 1 :], self.savepoints[place:]
        if good:
            self.stack[-1] += inside

    @precondition(lambda self: self.stack)
    @rule()
    def commit(self) -> None:
        self.session.commit()
        self.expected += [name for jobs in self.stack for name in jobs]
        self.stack, self.savepoints = [], []

    @precondition(lambda self: self.stack)
    @rule(close=st.booleans())
    def drop(self, close: bool) -> None:  # noqa: FBT001 - hypothesis passes by name
        (self.session.close if close else self.session.rollback)()
        self.stack, self.savepoints = [], []

    @invariant()
    def what_is_sent_is_what_is_committed_in_its_order(self) -> None:
        assert sent(self.lab) == self.expected
        if not self.stack:
            with self.engine.connect() as other:
                rows = set(other.execute(text("select name from rows")).scalars())
            assert rows == set(self.expected)


@pytest.mark.hypothesis
def test_no_sequence_of_transactions_and_savepoints_sends_what_did_not_commit(
    lab: Any, engine: Any, note: Any
) -> None:
    CommitMachine.lab, CommitMachine.engine, CommitMachine.note = lab, engine, note
    run_state_machine_as_test(
        CommitMachine,
        settings=settings(
            max_examples=60,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


DJANGO = """
import django
from django.conf import settings

settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}, USE_TZ=True
)
django.setup()
from celery import Celery
from django.db import transaction
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from celery_impl.sidekiq import Sidekiq
from celery_impl.sidekiq.testing import fake

app = Celery("site", broker="redis://127.0.0.1:1/0")
Sidekiq(app)


@app.task
def welcome(user):
    pass


with fake(app) as jobs:
    with transaction.atomic():
        print(welcome.delay_on_commit(7), welcome.apply_async_on_commit((8,)), len(jobs))
    print([job.args for job in jobs.enqueued])
    with Session(create_engine("sqlite://")) as session, session.begin():
        welcome.delay_on_commit(9, session=session)
    print([job.args for job in jobs.enqueued][2:])
"""


def test_a_task_of_django_keeps_djangos_delay_on_commit_and_takes_a_session_of_sqlalchemy_too(
    tmp_path: Any,
) -> None:
    (tmp_path / "site_settings.py").touch()  # Celery's support of Django looks for the variable alone
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "site_settings", "PYTHONPATH": f"{ROOT}:{tmp_path}"}
    done = subprocess.run(
        [sys.executable, "-c", DJANGO], env=env, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == ["None None 0", "[[7], [8]]", "[[9]]"], done.stderr
