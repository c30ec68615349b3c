"""A connection or session of SQLAlchemy 2 as the caller's transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from inprocess.journal.model.errors import TransactionError

#: How a driver writes a parameter, by its paramstyle.
_MARKS: Final = {"qmark": "?", "format": "%s", "pyformat": "%s"}


class SQLAlchemyTransaction:
    """The open transaction of a Connection, or of a Session's connection."""

    def __init__(self, within: Any) -> None:
        """Raise TransactionError for an engine, and for a connection without an open transaction."""
        if hasattr(within, "run_sync"):
            raise TransactionError(
                "within= is an async session or connection: give the one that its run_sync passes, as in "
                "`await session.run_sync(lambda session: task.enqueue(..., within=session))`"
            )
        connection = within.connection() if hasattr(within, "get_bind") else within
        if not hasattr(connection, "exec_driver_sql"):
            raise TransactionError(
                f"within= is of type {type(within).__qualname__}: give the connection or session that has "
                "the transaction, as in `with engine.begin() as connection`"
            )
        if not connection.in_transaction():
            raise TransactionError("within= is a connection without an open transaction: use engine.begin()")
        self._connection = connection

    @property
    def dialect(self) -> str:
        """See `Transaction.dialect`."""
        return str(self._connection.dialect.name)

    def run(self, statement: str, parameters: Sequence[object]) -> list[tuple[Any, ...]]:
        """See `Transaction.run`."""
        mark = _MARKS.get(self._connection.dialect.paramstyle, "?")
        found = self._connection.exec_driver_sql(statement.replace("?", mark), tuple(parameters))
        return [tuple(row) for row in found] if found.returns_rows else []

    def cure(self) -> str | None:
        """See `Transaction.cure`."""
        if self.dialect != "sqlite" or self._connection.engine.dispatch.begin:  # which executes BEGIN
            return None
        return (
            "in SQLAlchemy, isolation_level=None on the driver's connection in a `connect` event, and "
            'connection.exec_driver_sql("BEGIN IMMEDIATE") in a `begin` event'
        )

    def after_commit(self, wake: Callable[[], object]) -> bool:  # noqa: ARG002 - its `commit` event comes before the commit
        """See `Transaction.after_commit`."""
        return False
