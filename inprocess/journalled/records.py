"""What the journalled build writes into the ledger about its jobs, and what a caller is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import exc

from inprocess.journal import JournalError, current_job
from scenarios import ledger
from scenarios.contract import RefusedError

#: Where a person finds a job that was given up.
DEAD_SET: Final = "dead set"


@contextmanager
def attempt(scenario: str, job: str) -> Iterator[None]:
    """Record one attempt of the running job, and that it was given up if that was the last."""
    running = current_job()
    number, last = (1, 1) if running is None else (running.attempt, running.max_attempts)
    try:
        with ledger.attempt(scenario, job, number):
            yield
    except Exception as error:
        if number >= last:
            ledger.failed(scenario, job, where=DEAD_SET, error=error)
        raise


@contextmanager
def refused(what: str) -> Iterator[None]:
    """Raise RefusedError where the block cannot write to the journal."""
    try:
        yield
    except (JournalError, exc.OperationalError) as error:
        raise RefusedError(f"{what}: {error}") from error
