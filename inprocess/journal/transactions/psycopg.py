"""A connection of psycopg 3 as the caller's transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from inprocess.journal.model.errors import TransactionError

if TYPE_CHECKING:  # psycopg is an extra
    from psycopg import Connection


class PsycopgTransaction:
    """The open transaction of a connection, or the one that its next statement begins."""

    dialect: Final = "postgresql"

    def __init__(self, connection: Connection[Any]) -> None:
        """Raise TransactionError for a connection that would commit each statement by itself."""
        from psycopg import AsyncConnection, Connection, pq  # late: it is there, since the caller has it

        if isinstance(connection, AsyncConnection):
            raise TransactionError(
                "within= is an async connection, on which nothing can be written without an await: write the "
                "job on a connection of psycopg.connect, or in a session of SQLAlchemy by its run_sync"
            )
        if not isinstance(connection, Connection):
            raise TransactionError(
                f"within= is of type {type(connection).__qualname__}: give the connection that has the "
                "transaction"
            )
        status = connection.info.transaction_status
        if status == pq.TransactionStatus.IDLE and connection.autocommit:
            raise TransactionError(
                "within= is a connection in autocommit mode, without an open transaction: use "
                "`with connection.transaction()`"
            )
        if status == pq.TransactionStatus.INERROR:
            raise TransactionError("within= is a transaction in which a statement has failed: roll it back")
        self._connection = connection

    def run(self, statement: str, parameters: Sequence[object]) -> list[tuple[Any, ...]]:
        """See `Transaction.run`."""
        from psycopg import Cursor  # late, as above
        from psycopg.rows import tuple_row

        # Not the connection's own kind of cursor and of rows, which may be any.
        with Cursor(self._connection, row_factory=tuple_row) as cursor:
            cursor.execute(statement.replace("?", "%s").encode(), parameters)
            return cursor.fetchall()

    def cure(self) -> str | None:
        """See `Transaction.cure`."""
        return None

    def after_commit(self, wake: Callable[[], object]) -> bool:  # noqa: ARG002 - a notification comes
        """See `Transaction.after_commit`."""
        return True
