"""The server of a PostgreSQL journal: its URL, how to connect, and what its errors mean."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow

from inprocess.journal.model.errors import (
    JournalBusyError,
    JournalDamagedError,
    JournalError,
    JournalFullError,
    JournalKeyHeldError,
    JournalReadOnlyError,
    JournalRefusedError,
    JournalUnavailableError,
)

#: The first version that is tested for, as the server tells it.
OLDEST: Final = 130000
#: What the URL may say beside libpq's own options: the schema of the tables.
SCHEMA: Final = "schema"
#: Times that a statement is executed before it is prepared.
PREPARED_AFTER: Final = 5
#: What libpq is told unless the URL says otherwise: seconds to connect; milliseconds after which a server
#: that acknowledges nothing is given up, so that a cut network is noticed.
DEFAULTS: Final[dict[str, str]] = {
    "connect_timeout": "10", "tcp_user_timeout": "10000",
    "fallback_application_name": "queue-or-task journal",
}  # fmt: skip

_BUSY: Final = frozenset({"40001", "40P01", "57014", "23505"})
_DAMAGED: Final = frozenset({"XX001", "XX002"})
_NO_TABLES: Final = frozenset({"42P01", "42883", "3F000"})
#: What a server says to a connection that the URL must be mended for; libpq tells no code there.
_MISTAKEN: Final = re.compile(
    r"authentication failed|no password supplied|does not exist|no pg_hba\.conf entry|not permitted to log in"
    r"|permission denied|could not translate host name|failed to resolve host|invalid port|SSL"
)


class Address(NamedTuple):
    """Where a journal is: what libpq is given, the schema if one is named, the URL without a password."""

    conninfo: str
    schema: str | None
    url: str


def address_of(url: str) -> Address:
    """Return what `postgresql://user:password@host:port/name?schema=shop` says.

    A driver in it, as SQLAlchemy has them, is left out. Raise JournalRefusedError for what libpq does not
    take.
    """
    parts = urlsplit(url)
    options = parse_qsl(parts.query, keep_blank_values=True)
    schema = next((value for name, value in options if name == SCHEMA), None)
    given = [(name, value) for name, value in options if name != SCHEMA]
    people, at, hosts = parts.netloc.rpartition("@")
    place = f"postgresql://{parts.netloc}{parts.path}"
    try:
        known = conninfo_to_dict(f"{place}?{urlencode(given, quote_via=quote)}" if given else place)
    except psycopg.ProgrammingError as error:
        raise JournalRefusedError(
            f"the journal's URL is none that PostgreSQL takes ({one_line(error)}): expected "
            "postgresql://user:password@host:5432/name"
        ) from None
    if schema == "":
        raise JournalRefusedError(
            "the journal's URL names no schema after schema=: give one, or leave it out"
        )
    given += [(name, value) for name, value in DEFAULTS.items() if name not in known]
    conninfo = f"{place}?{urlencode(given, quote_via=quote)}"
    shown = urlencode([(name, value) for name, value in options if name != "password"], quote_via=quote)
    user = people.partition(":")[0]
    return Address(
        conninfo, schema, f"postgresql://{user}{at}{hosts}{parts.path}{'?' if shown else ''}{shown}"
    )


def connect(address: Address, *, prepares: bool) -> psycopg.Connection[TupleRow]:
    """Connect, each statement its own transaction unless one is begun. Raise JournalError."""
    try:
        connection = psycopg.connect(
            address.conninfo, autocommit=True, prepare_threshold=PREPARED_AFTER if prepares else None
        )
    except psycopg.Error as error:
        text = one_line(error)
        if _MISTAKEN.search(text):
            raise JournalRefusedError(
                f"the journal {address.url} does not open: {text}: look at the URL, and at what the server "
                "allows"
            ) from None
        raise JournalUnavailableError(f"the journal {address.url} does not answer: {text}") from None
    if connection.info.server_version < OLDEST:
        version = connection.info.server_version // 10000
        connection.close()
        raise JournalRefusedError(
            f"the journal {address.url}: its server is PostgreSQL {version}: {OLDEST // 10000} or newer is "
            "needed"
        )
    return connection


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Raise what psycopg raises inside as an error of a journal, with what to do."""
    try:
        yield
    except psycopg.Error as error:
        raise meaning(error, url) from error


def meaning(error: psycopg.Error, url: str) -> JournalError:  # noqa: PLR0911 - a table
    """Return the error of a journal that an error of psycopg means."""
    state, text = error.sqlstate or "", one_line(error)
    if state == "55P03":
        return JournalKeyHeldError(
            f"the journal {url} waits for a transaction that has a job of the same key ({text}): it is open "
            "for too long; commit it or roll it back"
        )
    if state in _BUSY:
        return JournalBusyError(f"the journal {url} is busy ({text})")
    if state == "53100":
        return JournalFullError(f"the journal {url}: no space left on its server ({text})")
    if state in {"25006", "42501"}:
        return JournalReadOnlyError(
            f"the journal {url} cannot be written ({text}): its role needs to read and write the journal's "
            "tables, on a server that takes writes"
        )
    if state in _NO_TABLES:
        return JournalRefusedError(f"the journal {url} has no tables ({text}): start it anew")
    if state in _DAMAGED:
        return JournalDamagedError(f"the journal {url} is damaged ({text}): take a backup")
    is_cut = not state and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    if is_cut or state[:2] in {"08", "53", "57"} or state == "25P03":
        return JournalUnavailableError(f"the journal {url} does not answer: {text}")
    return JournalError(f"the journal {url}: {text} ({state})")


def one_line(error: BaseException) -> str:
    """Return the text of an error in one line."""
    return " ".join(str(error).split()) or type(error).__name__
