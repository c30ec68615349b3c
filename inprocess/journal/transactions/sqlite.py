"""A connection of sqlite3 as the caller's transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Final

from inprocess.journal.model.errors import TransactionError

#: What `autocommit` is before Python 3.12, and where `isolation_level` counts.
_LEGACY: Final = getattr(sqlite3, "LEGACY_TRANSACTION_CONTROL", -1)


class SQLiteTransaction:
    """The open transaction of a connection, or the one that its next INSERT begins."""

    dialect: Final = "sqlite"

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Raise TransactionError for a connection that would commit each statement by itself."""
        autocommit = getattr(connection, "autocommit", _LEGACY)
        begins = connection.isolation_level is not None if autocommit == _LEGACY else not autocommit
        if not connection.in_transaction and not begins:
            raise TransactionError(
                "within= is a connection in autocommit mode, without an open transaction: execute "
                "BEGIN IMMEDIATE first"
            )
        self._connection = connection

    def run(self, statement: str, parameters: Sequence[object]) -> list[tuple[Any, ...]]:
        """See `Transaction.run`."""
        cursor = self._connection.cursor()
        cursor.row_factory = None  # the connection's may make anything of a row
        try:
            return cursor.execute(statement, parameters).fetchall()
        finally:
            cursor.close()

    def cure(self) -> str | None:
        """See `Transaction.cure`."""
        begins = self._connection.isolation_level
        if begins is None or begins.upper() in {"IMMEDIATE", "EXCLUSIVE"}:  # None: the caller writes BEGIN
            return None
        return 'sqlite3.connect(..., isolation_level="IMMEDIATE")'

    def after_commit(self, wake: Callable[[], object]) -> bool:  # noqa: ARG002 - sqlite3 has no such hook
        """See `Transaction.after_commit`."""
        return False
