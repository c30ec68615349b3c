"""The databases that keep a journal: one folder each, an implementation of `model.store.Store`.

All SQL is here, and what tells whether another process lives. Nothing here knows tasks or event loops. May
use `model`.
"""

from __future__ import annotations

from inprocess.journal.model.errors import JournalRefusedError
from inprocess.journal.model.store import Store
from inprocess.journal.stores.sqlite.store import SQLiteStore


def make_store(url: str, *, app: str | None, durability: str) -> Store:
    """Return a store for this URL, not yet open; raise JournalRefusedError for one that is none."""
    if not isinstance(url, str):  # what os.environ.get returns for a variable that is not set
        raise JournalRefusedError(f"the journal's URL is {url!r}: expected a text, as in sqlite:///app.db")
    scheme = url.partition("://")[0].partition("+")[0]
    if scheme == "sqlite":
        return SQLiteStore(url, app=app, durability=durability)
    if scheme in {"postgresql", "postgres"}:
        return _postgresql(url, app=app, durability=durability)
    raise JournalRefusedError(
        f"the journal's URL begins with {scheme!r}: expected sqlite:///app.db, sqlite:////var/lib/app.db for "
        "an absolute path, or postgresql://user@host/name"
    )


def _postgresql(url: str, *, app: str | None, durability: str) -> Store:
    try:
        from inprocess.journal.stores.postgresql.store import PostgreSQLStore  # late: psycopg is an extra
    except ImportError as error:  # psycopg itself, or the client library that it wraps
        raise JournalRefusedError(
            f"a journal in PostgreSQL needs psycopg 3 ({error}): pip install 'queue-or-task[postgres]'"
        ) from None
    return PostgreSQLStore(url, app=app, durability=durability)
