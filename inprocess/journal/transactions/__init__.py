"""A caller's transaction as `model.store.Transaction`: one file a library, found by the type of its object.

No library is imported before an object of it is given. May use `model`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from inprocess.journal.model.errors import TransactionError
from inprocess.journal.model.store import Transaction
from inprocess.journal.transactions.django import DjangoTransaction
from inprocess.journal.transactions.psycopg import PsycopgTransaction
from inprocess.journal.transactions.sqlalchemy import SQLAlchemyTransaction
from inprocess.journal.transactions.sqlite import SQLiteTransaction

#: The adapters, by the top-level package that an object's class, or one of its bases, comes from.
ADAPTERS: Final[dict[str, Callable[[Any], Transaction]]] = {
    "sqlite3": SQLiteTransaction,
    "psycopg": PsycopgTransaction,
    "sqlalchemy": SQLAlchemyTransaction,
    "django": DjangoTransaction,
}


def transaction_of(within: object) -> Transaction:
    """Return the adapter for what `within=` was given; raise TransactionError for what is no transaction."""
    for base in type(within).__mro__:
        adapter = ADAPTERS.get(base.__module__.partition(".")[0])
        if adapter is not None:
            return adapter(within)
    raise TransactionError(
        f"within= is of type {type(within).__module__}.{type(within).__qualname__}: expected a connection of "
        "sqlite3 or psycopg 3, a connection or session of SQLAlchemy 2, or a connection of Django"
    )
