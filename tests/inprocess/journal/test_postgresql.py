"""A journal in PostgreSQL, beside what goes wrong with servers, connections, poolers and rights."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from bench.world.postgres import PostgresServer
from inprocess import StartError
from inprocess.journal import (
    ArgumentsError,
    Journal,
    JournalReadOnlyError,
    JournalRefusedError,
    JournalUnavailableError,
    TransactionError,
    durable,
)
from inprocess.journal.stores import make_store
from inprocess.journal.stores.postgresql.liveness import CONNECTED_US, FREE_US, Holder, Liveness
from tests.inprocess.journal.conftest import PATIENCE_S, execute, run, the_server, until
from tests.inprocess.programs import run_program

MakeJournal = Callable[..., Journal]
#: Without notifications a journal would look for work only after the test has failed.
NEVER_S = 3600.0


@durable(name="tests.postgresql")
async def nothing(number: int) -> None: ...


@pytest.fixture
def store() -> str:
    return "postgresql"


@pytest.fixture
def journal(make_journal: MakeJournal) -> Journal:
    made = make_journal()
    made.open()
    return made


@contextmanager
def connected(**options: Any) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(the_server().url(), **options) as connection:
        yield connection


@contextmanager
def role(name: str, *statements: str) -> Iterator[str]:
    """A role for the time of a test; its URL."""
    with connected(autocommit=True) as owner:
        owner.execute(f"create role {name} login".encode())
        for statement in statements:
            owner.execute(statement.encode())
        try:
            yield the_server().url(user=name)
        finally:
            owner.execute(f"drop owned by {name}; drop role {name}".encode())


# Callers' transactions.


def test_a_job_is_there_if_and_only_if_the_transaction_commits(journal: Journal) -> None:
    with connected() as connection:
        answer = nothing.enqueue(1, within=connection, journal=journal)
        assert (answer.is_new, journal.waiting.size()) == (True, 0)
        connection.commit()
        assert [job.id for job in journal.waiting] == [answer.id]
        nothing.enqueue(2, within=connection, journal=journal)
        connection.rollback()
        assert journal.waiting.size() == 1


def test_a_key_is_looked_at_in_the_transaction_whatever_the_rows_and_cursors_are(journal: Journal) -> None:
    options: dict[str, Any] = {"row_factory": psycopg.rows.dict_row, "cursor_factory": psycopg.RawCursor}
    with connected(**options) as connection:
        answers = [nothing.enqueue(1, within=connection, journal=journal, key="50 %?") for _ in range(2)]
    assert [answer.is_new for answer in answers] == [True, False]
    assert answers[0].id == answers[1].id


def test_a_connection_that_cannot_take_a_job_says_what_to_do(journal: Journal) -> None:
    with connected(autocommit=True) as connection:
        with pytest.raises(TransactionError, match=r"use `with connection.transaction\(\)`"):
            nothing.enqueue(1, within=connection, journal=journal)
        with connection.transaction():
            nothing.enqueue(1, within=connection, journal=journal)
    assert journal.waiting.size() == 1
    with connected() as failed:
        with pytest.raises(psycopg.errors.UndefinedTable):
            failed.execute("select 1 from nowhere")
        with pytest.raises(TransactionError, match="in which a statement has failed"):
            nothing.enqueue(1, within=failed, journal=journal)

    async def main() -> None:
        async with await AsyncConnection.connect(the_server().url()) as connection:
            with pytest.raises(TransactionError, match="an async connection"):
                nothing.enqueue(1, within=connection, journal=journal)

    run(main())


def test_another_database_is_refused(journal: Journal, tmp_path: Path) -> None:
    said = "in another database than the journal"
    with connected(dbname="template1") as other, pytest.raises(TransactionError, match=said):
        nothing.enqueue(1, within=other, journal=journal)
    lite = Journal(f"sqlite:///{tmp_path}/app.db")
    lite.open()
    with connected() as connection, pytest.raises(TransactionError, match="a transaction of postgresql"):
        nothing.enqueue(1, within=connection, journal=lite)
    lite.close()


def test_a_journal_without_tables_says_what_to_do(make_journal: MakeJournal) -> None:
    journal = make_journal()
    with connected() as connection, pytest.raises(TransactionError, match=r"call its open\(\)"):
        nothing.enqueue(1, within=connection, journal=journal)
    assert not journal.is_there


def test_sqlalchemy_connections_and_sessions_are_taken(journal: Journal) -> None:
    engine = create_engine(the_server().url().replace("postgresql:", "postgresql+psycopg:"))
    try:
        with engine.begin() as connection:
            nothing.enqueue(1, within=connection, journal=journal, key="a")
        with Session(engine) as session, session.begin():
            session.execute(text("select 1"))
            assert not nothing.enqueue(2, within=session, journal=journal, key="a").is_new
            assert nothing.enqueue(3, within=session, journal=journal).is_new
        with engine.connect() as connection, connection.begin() as transaction:
            nothing.enqueue(4, within=connection, journal=journal)
            transaction.rollback()
    finally:
        engine.dispose()
    assert journal.waiting.size() == 2


def test_django_connections_are_taken(url: str) -> None:
    done = run_program(
        """
        import asyncio, sys
        from django.conf import settings
        settings.configure(DATABASES={"default": {
            "ENGINE": "django.db.backends.postgresql", "NAME": "postgres", "USER": "postgres",
            "HOST": "127.0.0.1", "PORT": sys.argv[2],
        }})
        import django
        django.setup()
        from django.db import connection, transaction
        from inprocess.journal import Journal, durable

        seen = []

        @durable
        async def note(text):
            seen.append(text)

        journal = Journal(sys.argv[1])

        def request():
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
        str(the_server().port),
    )
    assert (done.stdout, done.stderr) == ("['100 %'] 0\n", "")


# Wake-ups.


def test_a_commit_elsewhere_wakes_a_process_that_would_not_look(
    make_journal: MakeJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inprocess.journal.runner.BEAT_S", NEVER_S)

    async def main() -> None:
        other = make_journal()
        async with make_journal() as journal:
            await until(lambda: journal._runner is not None and journal._runner.is_clear)
            await nothing.enqueue(1, journal=other)
            await until(lambda: journal.done.size() == 1)
            with connected() as connection:
                nothing.enqueue(2, within=connection, journal=other)
            await until(lambda: journal.done.size() == 2)
            dead = await nothing.enqueue(3, journal=other, delay_s=3600)
            assert other.scheduled.retry(*other.scheduled) == 1
            await until(lambda: journal.done.find(dead.id) is not None)

    run(main())


def test_a_process_that_is_alone_enqueues_without_a_notification(journal: Journal) -> None:
    async def main() -> None:
        async with journal:
            store: Any = journal.writer().store
            await until(lambda: store._is_alone)
            for number in range(8):
                await nothing.enqueue(number, journal=journal)
            await until(lambda: journal.done.size() == 8)

    run(main())


# Troubles.


def test_what_runs_and_what_comes_while_the_server_is_restarted_is_done_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    the_server()  # or skip
    begun: list[str] = []
    go = asyncio.Event()

    @durable
    async def wait(name: str) -> None:
        begun.append(name)
        await go.wait()

    async def main(server: PostgresServer) -> None:
        async with Journal(server.url()) as journal:
            await wait.enqueue("before", journal=journal)
            await until(lambda: begun)
            await asyncio.to_thread(server.stop)
            try:
                during = asyncio.ensure_future(wait.enqueue("during", journal=journal))
                await asyncio.sleep(0.5)
                assert not during.done()
            finally:
                await asyncio.to_thread(server.start)
            await during
            await until(lambda: len(begun) == 2)
            go.set()
            await until(lambda: journal.done.size() == 2)

    with PostgresServer() as server:
        run(main(server))
    assert begun == ["before", "during"]
    assert "was taken over" not in caplog.text


def test_a_holder_whose_connections_are_cut_goes_on(make_journal: MakeJournal) -> None:
    begun: list[int] = []
    go = asyncio.Event()

    @durable
    async def wait() -> None:
        begun.append(1)
        await go.wait()

    async def main() -> None:
        async with make_journal(name="one") as one, make_journal(name="two", concurrency=1):
            await wait.enqueue(journal=one)
            await until(lambda: begun)
            for _ in range(2):
                with connected(autocommit=True) as admin:
                    admin.execute(
                        "select pg_terminate_backend(pid) from pg_stat_activity where pid <> "
                        "pg_backend_pid() and application_name = 'queue-or-task journal'"
                    )
                await asyncio.sleep(1.5)  # more than a look for dead holders
            go.set()
            await until(lambda: one.done.size() == 1)
        assert one.waiting.size() == 0

    run(main())
    assert begun == [1]


def test_an_open_transaction_with_the_key_holds_up_nobody_else(make_journal: MakeJournal) -> None:
    async def main() -> None:
        async with make_journal() as journal:
            with connected() as forgotten:
                first = nothing.enqueue(1, within=forgotten, journal=journal, key="a", delay_s=3600)
                waiting = asyncio.ensure_future(nothing.enqueue(2, journal=journal, key="a"))
                for number in range(20):
                    await nothing.enqueue(number, journal=journal)
                await until(lambda: journal.done.size() == 20)
                assert not waiting.done()
            assert await waiting == type(first)(first.id, is_new=False)

    run(main())


def test_a_server_that_does_not_let_us_in_is_told_in_one_line() -> None:
    server = the_server()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        unused = free.getsockname()[1]
    refused: list[tuple[str, str]] = [
        (server.url("missing"), 'database "missing" does not exist'),
        (server.url(user="stranger"), 'role "stranger" does not exist'),
    ]
    for url, said in refused:
        with closing(Journal(url)) as journal, pytest.raises(JournalRefusedError, match=said) as raised:
            journal.open()
        assert "\n" not in str(raised.value)
    away = f"postgresql://me:secret@127.0.0.1:{unused}/db"
    with closing(Journal(away)) as journal:
        with pytest.raises(
            JournalUnavailableError, match=r"does not answer: .*Connection refused"
        ) as away_from:
            journal.open()
        assert "secret" not in str(away_from.value)

        async def main() -> None:
            with pytest.raises(StartError, match="Connection refused"):
                await journal.start().ready()

        run(main())


def test_a_wrong_password_is_told_without_it() -> None:
    server = the_server()
    rules = server._folder / "data" / "pg_hba.conf"
    before = rules.read_text()
    with role("locked", "alter role locked password 'right'") as url, connected(autocommit=True) as admin:
        rules.write_text(f"host all locked all scram-sha-256\n{before}")
        admin.execute("select pg_reload_conf()")
        try:
            with closing(Journal(url.replace("locked@", "locked:wrong@"))) as journal:
                with pytest.raises(JournalRefusedError, match="password authentication failed") as raised:
                    journal.open()
                assert "wrong" not in str(raised.value)
                assert "wrong" not in repr(journal)
        finally:
            rules.write_text(before)
            admin.execute("select pg_reload_conf()")


def test_a_role_that_may_not_make_or_write_the_tables_is_told_what_it_needs() -> None:
    needed = r'grant create on schema "public" to "guest"'
    with role("guest") as url, pytest.raises(JournalRefusedError, match=needed), closing(Journal(url)) as one:
        one.open()
    allowed = ["create schema own authorization reader", "alter role reader set search_path = own"]
    with role("reader", *allowed) as url:
        with closing(Journal(url)) as journal:
            journal.open()
            with connected(autocommit=True) as owner:
                owner.execute("alter role reader set default_transaction_read_only = on")
        with closing(Journal(url)) as journal, pytest.raises(JournalReadOnlyError, match="cannot be written"):
            nothing.enqueue_from_thread(1, journal=journal)


def test_two_journals_in_schemas_of_their_own_are_apart(make_journal: MakeJournal, url: str) -> None:
    async def main() -> None:
        other = Journal(f"{url}_other", name="other")
        async with other, make_journal() as journal:
            await nothing.enqueue(1, journal=journal)
            await until(lambda: journal.done.size() == 1)
            assert other.stats().done == 0

    run(main())
    assert execute(f"{url}_other", "select count(*) from journal_holder") == [(0,)]


def test_a_text_that_postgresql_does_not_take_is_refused_or_replaced(make_journal: MakeJournal) -> None:
    @durable(retry=None)
    async def broken() -> None:
        raise ValueError("a\0b")

    async def main() -> None:
        async with make_journal() as journal:
            with pytest.raises(ArgumentsError, match=r"the key is 'a.x00': a text of PostgreSQL has no NUL"):
                await nothing.enqueue(1, key="a\0", journal=journal)
            await broken.enqueue(journal=journal)
            await until(journal.dead.size)
            assert [job.error for job in journal.dead] == ["ValueError: a\N{REPLACEMENT CHARACTER}b"]

    run(main())


def test_without_waiting_for_the_disk_jobs_run_too(make_journal: MakeJournal) -> None:
    async def main() -> None:
        async with make_journal(durability="normal") as journal:
            await asyncio.gather(*(nothing.enqueue(number) for number in range(40)))
            await until(lambda: journal.done.size() == 40)

    run(main())


# A pooler.


@pytest.fixture
def pooled_url(url: str, tmp_path: Path) -> Iterator[str]:
    """The URL by PgBouncer in transaction mode."""
    binary = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if binary is None:
        pytest.skip("no PgBouncer: apt-get install pgbouncer")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "users").write_text('"postgres" ""\n')
    (tmp_path / "ini").write_text(
        f"[databases]\n* = host=127.0.0.1 port={the_server().port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nauth_type = trust\nauth_file = {tmp_path}/users\npool_mode = transaction\n"
        f"logfile = {tmp_path}/log\nunix_socket_dir =\nmax_client_conn = 100\ndefault_pool_size = 5\n"
    )
    tmp_path.chmod(0o777)
    for parent in (tmp_path.parent, tmp_path.parent.parent):
        parent.chmod(0o755)
    (tmp_path / "log").touch(0o666)
    (tmp_path / "log").chmod(0o666)
    with subprocess.Popen([binary, "-q", "-u", "nobody", str(tmp_path / "ini")]) as process:
        try:
            deadline = time.monotonic() + PATIENCE_S
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                except OSError:
                    assert time.monotonic() < deadline
                    assert process.poll() is None
                    time.sleep(0.02)
                else:
                    break
            yield url.replace(f":{the_server().port}/", f":{port}/")
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(PATIENCE_S)


@pytest.mark.slow
def test_behind_a_pooler_in_transaction_mode_it_works_by_polling_and_says_so_once(
    pooled_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    program = """
        import asyncio, sys, time
        from inprocess.journal import Journal, durable

        @durable(name="tests.postgresql")
        async def nothing(number):
            print("begun", flush=True)
            time.sleep(3600)

        async def main():
            async with Journal(sys.argv[1]):
                await asyncio.Event().wait()

        asyncio.run(main())
        """
    command = [sys.executable, "-c", textwrap.dedent(program), pooled_url]
    other = Journal(pooled_url, name="other")
    nothing.enqueue_from_thread(0, journal=other)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as dies:
        assert dies.stdout is not None
        assert dies.stdout.readline() == "begun\n"
        dies.kill()

    async def main() -> None:
        async with Journal(pooled_url) as journal:
            for number in range(20):
                await nothing.enqueue(number, journal=journal)
                await nothing.enqueue(number, journal=other)
            await until(lambda: journal.done.size() == 41)

    run(main())
    other.close()
    assert caplog.text.count("as behind a pooler in transaction mode") == 1


# Who lives.


def test_the_lease_of_a_process_whose_loop_is_blocked_is_renewed(make_journal: MakeJournal, url: str) -> None:
    async def main() -> None:
        async with make_journal():
            ((before,),) = execute(url, "select until from journal_holder")
            time.sleep(2.5)  # noqa: ASYNC251 - what is tested
            assert execute(url, "select until from journal_holder")[0][0] > before

    run(main())


SECOND = 1_000_000


def seen(at: int, *, free: bool = False, expired: bool = False, server: str = "now") -> Holder:
    return Holder(1, 0, "host", "boot", expired, server, not free, at, "now")


def test_a_lock_that_is_free_in_two_looks_is_a_death_and_in_one_is_not() -> None:
    liveness = Liveness()
    liveness.note([seen(0, free=True)])
    assert not liveness.is_dead(seen(0, free=True))
    assert liveness.is_dead(seen(FREE_US, free=True))
    liveness.note([seen(FREE_US)])  # it has taken it back
    liveness.note([seen(FREE_US + 1, free=True)])
    assert not liveness.is_dead(seen(FREE_US + 2, free=True))


def test_after_a_restart_of_the_server_a_free_lock_is_no_death_and_a_lease_has_time() -> None:
    liveness = Liveness()
    for at in (0, FREE_US, CONNECTED_US - 1):
        liveness.note([seen(at, free=True, expired=True, server="before")])
        assert not liveness.is_dead(seen(at, free=True, expired=True, server="before"))
    assert liveness.is_dead(seen(CONNECTED_US, free=True, expired=True, server="before"))


def test_a_lease_that_has_run_out_is_a_death_without_blame() -> None:
    liveness = Liveness()
    liveness.note([seen(0)])
    late = seen(CONNECTED_US, expired=True)
    assert liveness.is_dead(late)
    assert not late.is_to_blame("host", "boot")
    assert seen(0, free=True).is_to_blame("elsewhere", "other")
    assert not seen(0, free=True).is_to_blame("host", "rebooted")


# The URL.


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://host/db?nonsense=1", 'invalid URI query parameter: "nonsense"'),
        ("postgresql://host/db?schema=", "names no schema"),
    ],
)
def test_a_wrong_url_is_refused(url: str, said: str) -> None:
    with pytest.raises(JournalRefusedError, match=said):
        Journal(url)


def test_a_url_is_shown_without_its_password_and_driver() -> None:
    for given in (
        "postgresql+psycopg://me:secret@h1:1,h2:2/db?schema=a%20b",
        "postgres://me@h1:1,h2:2/db?schema=a%20b&password=secret",
    ):
        shown = make_store(given, app=None, durability="full").url
        assert shown == "postgresql://me@h1:1,h2:2/db?schema=a%20b"


def test_without_psycopg_it_says_what_to_install() -> None:
    code = """
        import sys
        sys.modules["psycopg"] = None
        from inprocess.journal import Journal
        Journal("postgresql://host/db")
    """
    done = run_program(code)
    assert "needs psycopg 3" in done.stderr
    assert "pip install 'queue-or-task[postgres]'" in done.stderr
