"""A connection of Django as the caller's transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from inprocess.journal.model.errors import TransactionError


class DjangoTransaction:
    """The open `atomic` block of `django.db.connection`, or of one of `connections`."""

    def __init__(self, connection: Any) -> None:
        """Raise TransactionError outside of an atomic block."""
        if not hasattr(connection, "in_atomic_block"):
            raise TransactionError(
                f"within= is of type {type(connection).__qualname__}: give django.db.connection, inside "
                "transaction.atomic()"
            )
        if not connection.in_atomic_block:
            raise TransactionError("within= is a Django connection outside of transaction.atomic()")
        self._connection = connection

    @property
    def dialect(self) -> str:
        """See `Transaction.dialect`."""
        return str(self._connection.vendor)

    def run(self, statement: str, parameters: Sequence[object]) -> list[tuple[Any, ...]]:
        """See `Transaction.run`."""
        with self._connection.cursor() as cursor:
            cursor.execute(statement.replace("%", "%%").replace("?", "%s"), tuple(parameters))
            return [tuple(row) for row in cursor.fetchall()] if cursor.description else []

    def after_commit(self, wake: Callable[[], object]) -> bool:
        """See `Transaction.after_commit`."""
        self._connection.on_commit(wake, robust=True)
        return True
