"""Store: what a journal asks of a database. Implementations are in `stores`.

A store does operations on rows (`operations`) and knows whether holders live. It starts no job, decides no
retry and knows no event loop. One thread at a time uses an object of it: the writer's, or that of a person
who looks. Wherever an operation has a `now`, the caller gives its wall clock; a database with a clock of
its own uses that instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from inprocess.journal.model.job import NewJob
from inprocess.journal.model.operations import AnyOperation, Inserted


class Transaction(Protocol):
    """A transaction of the caller that is open, whatever library it is made with. See `transactions`."""

    @property
    def dialect(self) -> str:
        """The database: "sqlite" or "postgresql"."""

    def run(self, statement: str, parameters: Sequence[object]) -> list[tuple[Any, ...]]:
        """Run a statement with `?` for each parameter in it, and return its rows."""

    def cure(self) -> str | None:
        """What to change, if a transaction of the caller's that reads and then writes may be locked out."""

    def after_commit(self, wake: Callable[[], object]) -> bool:
        """Call `wake` after the commit. Return False if the library has no hook for that."""


class Store(Protocol):
    """A database that keeps a journal. Errors are those of `errors`, each with what to do."""

    @property
    def url(self) -> str:
        """The URL without a password."""

    @property
    def look_s(self) -> float | None:
        """Seconds between two calls of `changed` while nothing else is to do; None if it wakes us."""

    def is_there(self) -> bool:
        """Whether the database has a journal's tables. Makes nothing; raise JournalError."""

    def open(self, wake: Callable[[], object]) -> None:
        """Connect; bring the schema up to date under a lock.

        `wake` may be called from any thread when others may have changed rows. Raise JournalRefusedError
        for a newer schema, another app's journal and a place where it cannot be safe.
        """

    def close(self) -> None:
        """Disconnect. Its living holders live on until the process ends, or `Leave`."""

    def apply(self, operations: Sequence[AnyOperation]) -> list[Any]:
        """Apply all in one transaction, in this order, and return what each returns. All or none.

        Raise JournalBusyError at once if another process is writing: nothing was written.
        """

    def forsake(self, holder: int) -> None:
        """Let a holder of this process count as dead, though its process lives: it can write no more.

        Any thread; also after `close`, and on a database that fails.
        """

    def changed(self) -> bool:
        """Whether others may have changed rows since the last call."""

    def expect_soon(self) -> None:
        """Look more often for a moment: a caller's transaction with a job in it is about to commit."""

    def insert_within(self, transaction: Transaction, job: NewJob) -> Inserted:
        """Write a job in the caller's transaction, from any thread; raise TransactionError."""
