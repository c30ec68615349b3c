"""A connection of Django as the caller's transaction."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from inprocess.journal.model.errors import TransactionError

#: What to set, in a database of DATABASES.
CURE: Final = "in Django 5.1 or newer, \"OPTIONS\": {'transaction_mode': 'IMMEDIATE'} in DATABASES"


def cure_of(settings: Mapping[str, Any]) -> str | None:
    """Return what to change in the settings of a database, see `Transaction.cure`."""
    mode = str(settings.get("OPTIONS", {}).get("transaction_mode") or "")
    if "sqlite" not in settings.get("ENGINE", "") or mode.upper() in {"IMMEDIATE", "EXCLUSIVE"}:
        return None
    return CURE


def cure_at_start(path: Path) -> str | None:
    """Return what to change in this process's settings of a file, if Django is set up and has it."""
    conf = sys.modules.get("django.conf")
    settings: Any = None if conf is None else conf.settings
    if settings is None or not settings.configured:
        return None
    of_file = (known for known in settings.DATABASES.values() if _is_file(known.get("NAME"), path))
    return next(filter(None, map(cure_of, of_file)), None)


def _is_file(name: object, path: Path) -> bool:
    return isinstance(name, str | os.PathLike) and os.path.realpath(name) == os.path.realpath(path)


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

    def cure(self) -> str | None:
        """See `Transaction.cure`."""
        return cure_of(self._connection.settings_dict)

    def after_commit(self, wake: Callable[[], object]) -> bool:
        """See `Transaction.after_commit`."""
        self._connection.on_commit(wake, robust=True)
        return True
