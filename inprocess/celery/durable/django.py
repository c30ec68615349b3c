"""`delay_on_commit` of Django: with a journal in the same database it writes in the transaction itself.

Celery sends after the commit, and a process that dies in between sends nothing. A row that is written in the
transaction is there if and only if that commits. Where the journal has a database of its own, or no
transaction is open, Celery's own is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from inprocess.journal import TransactionError


@contextmanager
def written_in_transaction(app: Any) -> Iterator[None]:
    """Exchange the two methods of the app's tasks while the block runs, if they have them."""
    kind = app.Task
    after_commit = getattr(kind, "apply_async_on_commit", None)
    if after_commit is None or "apply_async_on_commit" in vars(kind):
        yield
        return

    def apply_async_on_commit(self: Any, *args: Any, **options: Any) -> Any:
        from django.db import connection  # late: only a task of Django's has this method

        if connection.in_atomic_block:
            try:
                return self.apply_async(*args, within=connection, **options)
            except TransactionError:  # the journal lies elsewhere
                pass
        return after_commit(self, *args, **options)

    def delay_on_commit(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self.apply_async_on_commit(args, kwargs)

    kind.apply_async_on_commit, kind.delay_on_commit = apply_async_on_commit, delay_on_commit
    try:
        yield
    finally:
        del kind.apply_async_on_commit, kind.delay_on_commit
