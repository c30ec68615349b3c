"""What goes wrong around a journal: a clear error or a row with the reason; nothing lost or looping."""

# ruff: noqa: S608 - statements of our own

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from inprocess import StartError
from inprocess.journal import (
    ArgumentsError,
    Journal,
    JournalBusyError,
    JournalDamagedError,
    JournalFullError,
    JournalReadOnlyError,
    JournalRefusedError,
    durable,
    writer,
)
from inprocess.journal import (
    journal as journal_module,
)
from inprocess.journal import runner as runner_module
from inprocess.journal import task as registry
from inprocess.journal.model import job
from inprocess.journal.model.arguments import dumps, loads
from inprocess.journal.model.codec import Codecs
from inprocess.journal.model.errors import CodecError
from inprocess.journal.runner import Runner
from inprocess.journal.sets import job_of
from inprocess.journal.stores.sqlite import database_file, schema
from inprocess.journal.stores.sqlite.holder_locks import holder_locks
from tests.inprocess.journal.conftest import PATIENCE_S, execute, run, run_one, until
from tests.inprocess.programs import run_program

MakeJournal = Callable[..., Journal]
MOUNT, UMOUNT = "/bin/mount", "/bin/umount"


async def nothing() -> None: ...


# The file, its disk and its locks are of SQLite.
SQLITE = pytest.mark.parametrize("store", ["sqlite"])


# The URL and the place.


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("app.db", "expected sqlite:///app.db"),
        ("mysql://host/db", "begins with 'mysql'"),
        ("sqlite://app.db", "a path has three slashes before it"),
        ("sqlite:///", "a database in memory ends with the process"),
        ("sqlite:///:memory:", "a database in memory ends with the process"),
        ("sqlite:///app.db?mode=ro", "takes no options after the path"),
    ],
)
def test_a_wrong_url_is_refused(url: str, said: str) -> None:
    with pytest.raises(JournalRefusedError, match=said):
        Journal(url)


def test_a_url_that_is_not_set_is_refused() -> None:
    unset: Any = os.environ.get("QUEUE_OR_TASK_NO_SUCH_VARIABLE")
    with pytest.raises(JournalRefusedError, match="the journal's URL is None: expected a text"):
        Journal(unset)


def test_a_url_of_sqlalchemy_names_the_same_file(tmp_path: Path) -> None:
    journal = Journal(f"sqlite+pysqlite:///{tmp_path}/my%20app.db")
    assert journal.url == f"sqlite:///{tmp_path}/my app.db"
    journal.close()


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(JournalRefusedError, match=r"there is no folder .*/missing; make it first"):
        Journal(f"sqlite:///{tmp_path}/missing/app.db").open()


def test_a_network_file_system_is_refused(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        f"30 22 0:50 / {tmp_path}/shared rw,relatime shared:1 - nfs4 server:/export rw\n"
        f"31 22 0:51 / {tmp_path}/with\\040space rw - ext4 /dev/sdb rw\n"
    )
    assert database_file.file_system_of(tmp_path / "app.db", mounts) == "ext4"
    assert database_file.file_system_of(tmp_path / "shared" / "app.db", mounts) == "nfs4"
    assert database_file.file_system_of(tmp_path / "with space" / "app.db", mounts) == "ext4"
    assert database_file.file_system_of(tmp_path / "app.db", tmp_path / "none") is None


@SQLITE
def test_a_journal_on_a_network_file_system_does_not_open(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inprocess.journal.stores.sqlite.database_file.file_system_of", lambda _path: "nfs4")
    with pytest.raises(JournalRefusedError, match=r"network file system \(nfs4\)"):
        Journal(url).open()


@pytest.mark.parametrize(
    ("version", "may"),
    [
        ((3, 40, 1), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 53, 0), False),
    ],
)
def test_a_version_of_sqlite_that_may_damage_a_file_is_known(version: tuple[int, ...], may: bool) -> None:  # noqa: FBT001 - as expected
    assert database_file.may_damage(version) == may


# The schema and the owner.


def test_two_apps_in_one_file_are_kept_apart(make_journal: MakeJournal) -> None:
    make_journal(app="shop").open()
    make_journal(app="shop").open()
    make_journal().open()
    with pytest.raises(JournalRefusedError, match="belongs to the app 'shop', not to 'blog'"):
        make_journal(app="blog").open()


def test_a_newer_schema_that_closes_the_journal_to_this_code_is_refused_in_one_line(
    make_journal: MakeJournal, url: str
) -> None:
    make_journal().open()
    execute(url, f"update journal_meta set version = 99, oldest_writer = {schema.VERSION + 1}")
    with pytest.raises(JournalRefusedError, match="was made by newer code, its schema is 99") as raised:
        make_journal().open()
    assert "\n" not in str(raised.value)


def test_a_newer_schema_that_this_code_may_write_is_used(make_journal: MakeJournal, url: str) -> None:
    make_journal().open()
    execute(url, "alter table journal_job add column colour text default 'red'")
    execute(url, "update journal_meta set version = 99")
    empty = durable(nothing)

    run_one(make_journal, empty)
    assert execute(url, "select version from journal_meta") == [(99,)]


def test_code_that_the_journal_is_closed_to_goes_quiet(
    make_journal: MakeJournal, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    empty = durable(nothing)

    async def main() -> None:
        async with make_journal() as journal:
            execute(url, f"update journal_meta set oldest_writer = {schema.VERSION + 1}")
            await until(lambda: "newer code has closed the journal" in caplog.text)
            await empty.enqueue(journal=journal)
            assert execute(url, "select state from journal_job") == [(1,)]

    run(main())
    assert caplog.text.count("newer code has closed") == 1


def test_many_that_open_a_new_database_at_once_make_its_tables_once(url: str) -> None:
    errors: list[BaseException] = []
    begin = threading.Barrier(8)

    def open_it() -> None:
        journal = Journal(url)
        begin.wait()
        try:
            journal.open()
        except BaseException as error:  # noqa: BLE001 - looked at below
            errors.append(error)
        finally:
            journal.close()

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert execute(url, "select count(*) from journal_meta") == [(1,)]


# The file and its disk.


@SQLITE
def test_a_file_that_is_no_database_is_called_damaged(make_journal: MakeJournal, tmp_path: Path) -> None:
    (tmp_path / "app.db").write_bytes(b"this is a text, and a long one " * 100)

    async def main() -> None:
        with pytest.raises(StartError, match=r"is not a database of SQLite.* is the path right\?"):
            await make_journal().start().ready()

    run(main())


@SQLITE
def test_a_file_that_is_damaged_while_it_runs_ends_the_process_with_that_error(
    make_journal: MakeJournal, tmp_path: Path
) -> None:
    empty = durable(nothing)

    async def main() -> None:
        journal = make_journal()
        runner = journal.start()
        await runner.ready()
        with closing(sqlite3.connect(tmp_path / "app.db")) as other:
            other.execute("pragma wal_checkpoint(truncate)")
            (size,) = other.execute("pragma page_size").fetchone()
            with (tmp_path / "app.db").open("r+b") as file:
                file.seek(size)
                file.write(b"\xff" * size * 20)
            other.execute("create table beside (a)")  # what the journal has in memory is old now
        with pytest.raises(JournalDamagedError):
            await empty.enqueue(journal=journal)
        ended = await runner.wait()
        assert isinstance(ended.error, JournalDamagedError)

    run(main())


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[Path]:
    """A small file system of its own in memory; skip where that is not allowed."""
    folder.mkdir()
    made = subprocess.run(
        [MOUNT, "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("this user may not mount a file system")
    try:
        yield folder
    finally:
        subprocess.run([UMOUNT, "--lazy", str(folder)], check=True)


def test_a_full_disk_fails_an_enqueue_at_once_and_loses_nothing_that_ran(tmp_path: Path) -> None:
    go = asyncio.Event()
    begun = []

    @durable
    async def wait() -> None:
        begun.append(1)
        await go.wait()

    @durable
    async def note(_text: str) -> None: ...

    async def main(url: str, filler: Path) -> None:
        async with Journal(url) as journal:
            await wait.enqueue()
            await until(lambda: begun)
            _fill(filler)
            with pytest.raises(JournalFullError, match="no space left on its disk"):
                await asyncio.gather(*(note.enqueue("x" * 4000) for _ in range(1000)))
            go.set()
            await asyncio.sleep(0.3)
            filler.unlink()
            await until(lambda: journal.running.size() == 0)
            assert wait.name in {job.task for job in journal.done}
            assert len(begun) == 1

    with mounted(tmp_path / "small", "4m") as folder:
        run(main(f"sqlite:///{folder}/app.db", folder / "filler"))
        _forget_locks(folder / "app.db")


def _fill(path: Path) -> None:
    """Write until the disk is full."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * 4096):
            pass


def test_a_read_only_file_system_is_named(tmp_path: Path) -> None:
    async def main(url: str) -> None:
        with pytest.raises(StartError, match="cannot be written"):
            await Journal(url).start().ready()

    with mounted(tmp_path / "locked", "4m") as folder:
        url = f"sqlite:///{folder}/app.db"
        made = run_program(
            "import sys; from inprocess.journal import Journal; Journal(sys.argv[1]).open()", url
        )
        assert made.returncode == 0, made.stderr
        subprocess.run([MOUNT, "-o", "remount,ro", str(folder)], check=True)
        with pytest.raises(JournalReadOnlyError):
            Journal(url).open()
        run(main(url))


def _forget_locks(path: Path) -> None:
    """Close the file of the holders' locks, which a process keeps open, so that its disk can go."""
    os.close(holder_locks(path)._descriptor)


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Another connection writes, and does not commit."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as connection:
        connection.execute("begin immediate")
        yield
        connection.execute("rollback")


@SQLITE
def test_what_is_locked_for_a_while_is_written_afterwards(make_journal: MakeJournal, url: str) -> None:
    seen = []

    @durable
    async def note(number: int) -> None:
        seen.append(number)

    async def main() -> None:
        async with make_journal() as journal:
            await note.enqueue(0)
            with locked(url):
                waiting = [asyncio.ensure_future(note.enqueue(number)) for number in range(1, 4)]
                begun = asyncio.get_running_loop().time()
                await asyncio.sleep(0.3)
                assert asyncio.get_running_loop().time() - begun < 5.0  # the loop itself goes on
                assert not any(each.done() for each in waiting)
            await asyncio.gather(*waiting)
            await until(lambda: journal.done.size() == 4)

    run(main())
    assert sorted(seen) == [0, 1, 2, 3]


@SQLITE
def test_what_is_locked_for_too_long_fails_an_enqueue_before_it_is_written(
    make_journal: MakeJournal, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "WAIT_S", 0.2)
    monkeypatch.setattr(journal_module, "WAIT_S", 0.2)
    empty = durable(nothing)

    async def main() -> None:
        async with make_journal() as journal:
            with locked(url):
                with pytest.raises(JournalBusyError, match="is locked by another connection"):
                    await empty.enqueue(journal=journal)
                with pytest.raises(JournalBusyError):
                    journal.dead.retry(job_of(ROW, journal.codecs))
            assert journal.waiting.size() == 0

    run(main())


@SQLITE
def test_a_database_that_stays_locked_does_not_keep_the_app_from_ending(
    make_journal: MakeJournal, url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runner_module, "END_S", 0.2)
    monkeypatch.setattr(journal_module, "CLOSE_S", 0.2)
    runs = []

    @durable
    async def waits() -> None:
        runs.append(1)
        if len(runs) == 1:
            await asyncio.sleep(60)

    async def main() -> None:
        first = make_journal()
        async with asyncio.timeout(PATIENCE_S):
            await first.start().ready()
            await waits.enqueue(journal=first)
            await until(lambda: runs)
            with locked(url):
                await first.__aexit__()
        async with make_journal() as second:
            await until(lambda: second.done.size() == 1)

    run(main())
    assert len(runs) == 2
    assert "ends after 0.2 s in which its database took no writes" in caplog.text


ROW = job.Row(1, "x", "f", "q", 0, 4, None, b"[[]]", None, 0, 1, 0, 0, 0, None, None, 0, None)


# Arguments, codecs, functions.


@pytest.mark.parametrize(
    ("args", "path"),
    [
        ([(1, 2)], r"args\[0\] is of type tuple.*give a list"),
        ([1, {"a": [1, {"b": object()}]}], r"args\[1\]\['a'\]\[1\]\['b'\] is of type object"),
        ([{1: 2}], r"args\[0\] has the key 1.*give '1'"),
        ([float("nan")], r"args\[0\] is the float nan"),
        ([job.State.DEAD], r"args\[0\] is of type State.*give a plain int"),
        ([b"x"], r"args\[0\] is of type bytes"),
    ],
)
def test_an_argument_that_json_does_not_give_back_is_refused_with_its_path(
    args: list[object], path: str
) -> None:
    with pytest.raises(ArgumentsError, match=path):
        dumps("task", args, {})


def test_an_argument_that_contains_itself_is_refused() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(ArgumentsError, match="contains itself"):
        dumps("task", [], {"x": endless})


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b"[[], []]", b"\xff"])
def test_a_body_that_is_no_list_of_arguments_is_not_read(body: bytes) -> None:
    with pytest.raises(CodecError, match="JSON does not read the arguments"):
        Codecs().loads(None, body)


def test_arguments_come_back_as_they_were() -> None:
    args: list[object] = [1, "é\x00\ud800", None, [True, 1.5]]
    kwargs: dict[str, object] = {"x": {"y": []}}
    assert loads(dumps("task", args, kwargs)) == (args, kwargs)


class Reversed:
    """A codec, as an app would bring an encryption."""

    def __init__(self, name: str) -> None:
        self.name = name

    def encode(self, body: bytes) -> bytes:
        return body[::-1]

    def decode(self, body: bytes) -> bytes:
        return body[::-1]


def test_a_codec_writes_what_only_it_reads(make_journal: MakeJournal, url: str) -> None:
    seen = []

    @durable
    async def note(text: str) -> None:
        seen.append(text)

    async def main() -> None:
        async with make_journal(codecs=[Reversed("new"), Reversed("old")]) as journal:
            await note.enqueue("secret")
            await until(journal.done.size)

    run(main())
    assert seen == ["secret"]
    assert execute(url, "select codec, args from journal_job") == [("new", b']]"terces"[[')]


def test_a_body_that_no_codec_reads_is_parked_and_runs_when_one_does(
    make_journal: MakeJournal, caplog: pytest.LogCaptureFixture
) -> None:
    seen = []

    @durable
    async def note(text: str) -> None:
        seen.append(text)

    async def main() -> None:
        await note.enqueue("secret", journal=make_journal(codecs=[Reversed("lost")]))
        async with make_journal() as journal:
            await until(journal.parked.size)
            (parked,) = journal.parked
            assert "no codec 'lost' here (known: none)" in str(parked.error)
            assert "bytes of 'lost'" in parked.call
            assert parked.attempt == 0
            assert journal.parked.retry(parked) == 1
            await until(journal.parked.size)
        again = make_journal(codecs=[Reversed("lost")])
        assert again.parked.retry_all() == 1
        async with again:
            await until(again.done.size)

    run(main())
    assert seen == ["secret"]
    assert "is parked" in caplog.text


def test_a_job_of_a_changed_function_is_parked_and_runs_with_the_next_form(make_journal: MakeJournal) -> None:
    seen = []

    async def main() -> None:
        @durable(name="greet")
        async def old(name: str) -> None: ...

        await old.enqueue("Ada", journal=make_journal())

        def forget() -> None:
            registry._tasks.pop("greet")

        forget()

        @durable(name="greet")
        async def changed(name: str, language: str) -> None: ...

        async with make_journal() as journal:
            await until(journal.parked.size)
            (parked,) = journal.parked
            assert "greet has changed: " in str(parked.error)
            assert "missing 1 required positional argument: 'language'" in str(parked.error)
            assert (parked.attempt, parked.kills) == (0, 0)
        async with make_journal() as journal:  # the same code does not try for ever
            await asyncio.sleep(0.1)
            assert journal.parked.size() == 1
        forget()

        @durable(name="greet")
        async def mended(name: str, language: str = "en") -> None:
            seen.append((name, language))

        async with make_journal() as journal:
            await until(journal.done.size)

    run(main())
    assert seen == [("Ada", "en")]


def test_a_plain_function_that_has_changed_is_parked_too(make_journal: MakeJournal) -> None:
    async def main() -> None:
        @durable(name="greet")
        def old(name: str) -> None: ...

        await old.enqueue("Ada", journal=make_journal())
        registry._tasks.pop("greet")

        @durable(name="greet")
        def changed() -> None: ...

        async with make_journal() as journal:
            await until(journal.parked.size)

    run(main())


def test_a_type_error_of_the_function_itself_is_a_failure(make_journal: MakeJournal) -> None:
    @durable(retry=None)
    async def broken() -> None:
        raise TypeError("inside")

    run_one(make_journal, broken, into="dead")


def test_a_function_that_nobody_knows_is_parked_after_a_while(
    make_journal: MakeJournal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("inprocess.journal.runner.UNKNOWN_S", 0.0)
    monkeypatch.setattr("inprocess.journal.runner.UPKEEP_S", 0.05)

    async def main() -> None:
        moved = durable(name="moved")(nothing)
        await moved.enqueue(journal=make_journal())
        registry._tasks.pop("moved")
        async with make_journal() as journal:
            await until(journal.parked.size)
            (parked,) = journal.parked
            assert parked.error == (
                "no process of the app knows the function moved: it was moved, renamed or is not imported"
            )
            durable(name="moved")(nothing)  # its module is imported late
            await until(journal.done.size)

    run(main())
    assert "queue-or-task journal parked" in caplog.text


# The clock.


def test_a_clock_that_is_set_back_delays_nothing_that_is_due(
    make_journal: MakeJournal, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    seen = []

    @durable
    async def note() -> None:
        seen.append(1)

    async def main() -> None:
        journal = make_journal()
        await note.enqueue(journal=journal)
        ahead = 3600 * 1_000_000  # as if enqueued before the clock was set back by an hour
        execute(url, f"update journal_job set due = due + {ahead}, created = created + {ahead}")
        async with journal:
            await until(lambda: len(seen) == 1)
            runner = journal._runner
            assert isinstance(runner, Runner)
            runner._wall_ahead += 3600  # the same while it runs
            runner.is_clear = False
            await note.enqueue(delay_s=3600)
            execute(url, "update journal_job set created = due where state = 1")
            await until(lambda: len(seen) == 2)

    run(main())
    assert "the clock was set back by 3600 s" in caplog.text
