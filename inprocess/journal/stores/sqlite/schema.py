"""The tables of a journal in SQLite, and their version.

Forward only: a version adds columns and tables, and every statement names its columns, so that old and new
code share a journal through a rolling deploy. A version that old code must not write raises
`oldest_writer`: older code then refuses to start, and running older code goes quiet.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from inprocess.journal.model.errors import JournalRefusedError

#: The version of the schema that this code makes.
VERSION: Final = 2
#: The oldest version of this code that may write a journal of VERSION.
OLDEST_WRITER: Final = 1

#: What leads from the version before to each version. Suspects are jobs with MAX_KILLS - 1 deaths.
STEPS: Final[dict[int, str]] = {
    1: """
create table journal_meta (
    one integer primary key check (one = 1), version integer not null, oldest_writer integer not null,
    app text
);
insert into journal_meta values (1, 0, 0, null);
create table journal_job (
    n integer primary key autoincrement, id text not null unique, fn text not null, queue text not null,
    priority integer not null, state integer not null, codec text, args blob not null, meta text, ukey text,
    attempt integer not null default 0, max_attempts integer not null, kills integer not null default 0,
    due integer not null, created integer not null, ended integer, holder integer,
    token integer not null default 0, error text, parked_by text
);
create index journal_job_waiting on journal_job (queue, priority, due, n, fn) where state = 1;
create index journal_job_suspects on journal_job (queue, priority, due, n, fn) where state = 1 and kills >= 2;
create index journal_job_held on journal_job (holder) where state in (2, 6);
create index journal_job_parked on journal_job (fn) where state = 5;
create index journal_job_done on journal_job (ended) where state = 3;
create index journal_job_dead on journal_job (ended) where state = 4;
create unique index journal_job_key on journal_job (ukey) where ukey is not null and state in (1, 2, 5, 6);
create table journal_holder (
    n integer primary key autoincrement, pid integer not null, host text not null, boot text not null,
    drained integer not null default 0, functions text not null, started integer not null
);
create table journal_tick (name text primary key, last integer not null);
""",
    2: """
create table journal_result (
    key text primary key, codec text, body blob not null, expires integer
) without rowid;
create index journal_result_expires on journal_result (expires) where expires is not null;
""",
}


def has_tables(connection: sqlite3.Connection) -> bool:
    """Whether the database has a journal's tables."""
    found = connection.execute("select 1 from sqlite_master where name = 'journal_meta'").fetchone()
    return found is not None


def is_current(connection: sqlite3.Connection, app: str | None) -> bool:
    """Whether there is nothing to do for `migrate`. Takes no lock."""
    if not has_tables(connection):
        return False
    found = connection.execute("select version, oldest_writer, app from journal_meta").fetchone()
    version, oldest_writer, owner = found
    return version >= VERSION >= oldest_writer and (app is None or app == owner)


def may_write(connection: sqlite3.Connection) -> bool:
    """Whether no newer code has closed the journal to this one since it was opened."""
    (oldest_writer,) = connection.execute("select oldest_writer from journal_meta").fetchone()
    return bool(oldest_writer <= VERSION)


def migrate(connection: sqlite3.Connection, app: str | None, where: str) -> None:
    """Bring the tables up to VERSION. Called inside an immediate transaction, which is the lock.

    Raise JournalRefusedError for tables that newer code has made and this may not write, and for another
    app's; `where` names the database in the text.
    """
    version, oldest_writer, owner = (
        connection.execute("select version, oldest_writer, app from journal_meta").fetchone()
        if has_tables(connection)
        else (0, 0, None)
    )
    if oldest_writer > VERSION:
        raise JournalRefusedError(
            f"the journal {where} was made by newer code, its schema is {version} and ours {VERSION}: "
            "update queue-or-task here"
        )
    if app is not None and owner is not None and app != owner:
        raise JournalRefusedError(
            f"the journal {where} belongs to the app {owner!r}, not to {app!r}: give each app its own file"
        )
    for step in range(version + 1, VERSION + 1):
        for statement in STEPS[step].split(";"):
            if statement.strip():
                connection.execute(statement)
    if version < VERSION:
        connection.execute("update journal_meta set version = ?, oldest_writer = ?", (VERSION, OLDEST_WRITER))
    if app is not None and owner is None:
        connection.execute("update journal_meta set app = ?", (app,))
