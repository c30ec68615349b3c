"""`within=`: a job in the caller's transaction, on sqlite3, SQLAlchemy and Django with SQLite.

Those of PostgreSQL are in `test_postgresql`.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from inprocess.journal import Journal, TransactionError, durable
from tests.inprocess.journal.conftest import run, until
from tests.inprocess.programs import run_program

MakeJournal = Callable[..., Journal]


@durable(name="tests.within")
async def nothing(number: int) -> None: ...


@pytest.fixture
def store() -> str:
    """SQLite alone."""
    return "sqlite"


@pytest.fixture
def journal(make_journal: MakeJournal) -> Journal:
    made = make_journal()
    made.open()
    return made


@contextmanager
def connected(url: str, **options: Any) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), **options)) as connection:
        yield connection


def test_a_job_is_there_if_and_only_if_the_transaction_commits(journal: Journal, url: str) -> None:
    with connected(url) as connection:
        connection.execute("create table user (name text)")
        connection.execute("insert into user values ('Ada')")
        answer = nothing.enqueue(1, within=connection, journal=journal)
        assert (answer.is_new, journal.waiting.size()) == (True, 0)
        connection.commit()
        assert [job.id for job in journal.waiting] == [answer.id]
        nothing.enqueue(2, within=connection, journal=journal)
        connection.rollback()
        assert journal.waiting.size() == 1


def test_a_job_may_be_the_first_statement_of_a_transaction(journal: Journal, url: str) -> None:
    with connected(url) as connection:
        nothing.enqueue(1, within=connection, journal=journal)
        assert connection.in_transaction
        connection.rollback()
    assert journal.waiting.size() == 0


def test_a_key_is_looked_at_in_the_transaction(journal: Journal, url: str) -> None:
    with connected(url) as connection:
        answers = [nothing.enqueue(1, within=connection, journal=journal, key="a") for _ in range(2)]
        connection.commit()
    assert [answer.is_new for answer in answers] == [True, False]
    assert answers[0].id == answers[1].id


def test_a_row_factory_of_the_caller_does_not_matter(journal: Journal, url: str) -> None:
    with connected(url) as connection:
        connection.row_factory = lambda _cursor, _row: "nonsense"
        assert nothing.enqueue(1, within=connection, journal=journal).is_new
        connection.commit()


def test_a_connection_in_autocommit_mode_needs_an_open_transaction(journal: Journal, url: str) -> None:
    with connected(url, isolation_level=None) as connection:
        with pytest.raises(TransactionError, match="execute BEGIN IMMEDIATE first"):
            nothing.enqueue(1, within=connection, journal=journal)
        connection.execute("begin immediate")
        nothing.enqueue(1, within=connection, journal=journal)
        connection.execute("commit")
    assert journal.waiting.size() == 1


def test_another_database_is_refused(journal: Journal, tmp_path: Path) -> None:
    for file, said in ((":memory:", "a database in memory"), (str(tmp_path / "other.db"), "other.db")):
        with closing(sqlite3.connect(file)) as other:
            with pytest.raises(TransactionError, match=f"{said}, and the journal is .*app.db: both must be"):
                nothing.enqueue(1, within=other, journal=journal)
            assert not other.in_transaction


def test_a_journal_without_tables_says_what_to_do(make_journal: MakeJournal, url: str) -> None:
    journal = make_journal()
    with connected(url) as connection, pytest.raises(TransactionError, match=r"call its open\(\)"):
        nothing.enqueue(1, within=connection, journal=journal)


@pytest.mark.parametrize("within", [1, "begin", object()])
def test_what_is_no_transaction_is_refused(journal: Journal, within: object) -> None:
    with pytest.raises(
        TransactionError, match="expected a connection of sqlite3 or psycopg 3, a connection or session"
    ):
        nothing.enqueue(1, within=within, journal=journal)


def test_the_job_runs_soon_after_the_commit(make_journal: MakeJournal, url: str) -> None:
    seen = asyncio.Event()

    @durable
    async def note() -> None:
        seen.set()

    async def main() -> None:
        async with make_journal() as journal:
            with connected(url) as connection:
                note.enqueue(within=connection)
                await asyncio.sleep(0.05)
                assert journal.waiting.size() == 0
                connection.commit()
                await asyncio.wait_for(seen.wait(), 30)
            await until(journal.done.size)

    run(main())


def test_sqlalchemy_connections_and_sessions_are_taken(journal: Journal, url: str) -> None:
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            connection.execute(text("create table user (name text)"))
            nothing.enqueue(1, within=connection, journal=journal, key="a")
        with Session(engine) as session, session.begin():
            session.execute(text("insert into user values ('Ada')"))
            assert not nothing.enqueue(2, within=session, journal=journal, key="a").is_new
            assert nothing.enqueue(3, within=session, journal=journal).is_new
        with engine.connect() as connection, connection.begin() as transaction:
            nothing.enqueue(4, within=connection, journal=journal)
            transaction.rollback()
        assert journal.waiting.size() == 2
        with pytest.raises(TransactionError, match="give the connection or session that has the transaction"):
            nothing.enqueue(5, within=engine, journal=journal)
        with engine.connect() as connection, pytest.raises(TransactionError, match=r"use engine.begin\(\)"):
            nothing.enqueue(6, within=connection, journal=journal)
    finally:
        engine.dispose()


def test_an_async_session_of_sqlalchemy_says_what_to_give(journal: Journal) -> None:
    async def main() -> None:
        with pytest.raises(TransactionError, match=r"await session.run_sync\(lambda session"):
            nothing.enqueue(1, within=AsyncSession(), journal=journal)

    run(main())


def test_an_app_that_reads_first_and_begins_immediately_is_never_locked_out(
    make_journal: MakeJournal, url: str
) -> None:
    """The cure that the page names, on SQLAlchemy, beside a journal that writes all the time."""
    engine = create_engine(url, connect_args={"timeout": 30})

    @event.listens_for(engine, "connect")
    def _no_implicit_begin(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    journal = make_journal()
    journal.open()

    def app() -> None:
        for number in range(20):
            with engine.begin() as connection:
                count = connection.execute(text("select count(*) from user")).scalar_one()
                connection.execute(text(f"insert into user values ('{count}')"))  # noqa: S608 - a number
                nothing.enqueue(number, within=connection, journal=journal)

    async def main() -> None:
        with engine.begin() as connection:
            connection.execute(text("create table user (name text)"))
        async with journal:
            thread = threading.Thread(target=app)
            thread.start()
            while thread.is_alive():
                await nothing.enqueue(0, journal=journal)
            await until(lambda: journal.done.only(task="tests.within").size() >= 20)
            thread.join()

    try:
        run(main())
        with engine.begin() as connection:
            assert connection.execute(text("select count(*) from user")).scalar_one() == 20
    finally:
        engine.dispose()


def test_an_app_whose_transactions_begin_deferred_is_warned_once_with_the_cure(
    journal: Journal, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    for level, engine_url in (("IMMEDIATE", None), ("", None), ("", None), (None, url)):
        if engine_url is not None:
            engine = create_engine(engine_url)
            with engine.begin() as connection:
                nothing.enqueue(1, within=connection, journal=journal)
            engine.dispose()
            continue
        with connected(url, isolation_level=level) as plain:
            nothing.enqueue(1, within=plain, journal=journal)
            plain.commit()
    warnings = [record.message for record in caplog.records if "database is locked" in record.message]
    assert len(warnings) == 2
    assert 'sqlite3.connect(..., isolation_level="IMMEDIATE")' in warnings[0]
    assert "BEGIN IMMEDIATE" in warnings[1]


def test_django_connections_are_taken(url: str) -> None:
    done = run_program(
        """
        import asyncio, sys
        from django.conf import settings
        path = sys.argv[1].removeprefix("sqlite:///")
        settings.configure(DATABASES={"default": {
            "ENGINE": "django.db.backends.sqlite3", "NAME": path,
        }})
        import django
        django.setup()
        from django.db import connection, transaction
        from inprocess.journal import Journal, TransactionError, durable

        seen = []

        @durable
        async def note(text):
            seen.append(text)

        journal = Journal(sys.argv[1])

        def request():
            try:
                note.enqueue("outside", within=connection)
            except TransactionError as error:
                print(error)
            with transaction.atomic():
                note.enqueue("100 %", within=connection)
            try:
                with transaction.atomic():
                    note.enqueue("gone", within=connection)
                    raise ZeroDivisionError
            except ZeroDivisionError:
                connection.close()

        async def main():
            async with journal:
                await asyncio.to_thread(request)
                while not journal.done.size():
                    await asyncio.sleep(0.01)
            print(seen, journal.stats().waiting)

        asyncio.run(main())
        """,
        url,
    )
    assert done.stdout.splitlines() == [
        "within= is a Django connection outside of transaction.atomic()",
        "['100 %'] 0",
    ], done.stderr
    assert done.stderr.count("'transaction_mode': 'IMMEDIATE'") == 1  # at the start
