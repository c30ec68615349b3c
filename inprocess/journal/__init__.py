"""Durable in-process work: jobs are rows of a database that the app has, run by supervised tasks.

    from inprocess.journal import Journal, current_job, durable

`durable` makes a task of a function, `Journal` names the database and is a child of any supervision tree,
`enqueue` writes a job, in a transaction of its own or in the caller's. A kill loses nothing that was
committed. `docs/journal.md` adds it to an app in five lines and says what each guarantee costs.

Here are the writer's thread, the process that runs jobs, and the sets for people. The values and the Protocol
of a store lie in `model`, databases in `stores`, callers' transactions in `transactions`, the command line in
`cli`. Standard library alone, but for a journal in PostgreSQL; nothing of `inprocess` but `supervision` may
be used, and `supervision` must not know this.
"""

from inprocess.journal.journal import Journal
from inprocess.journal.model.codec import Codec
from inprocess.journal.model.errors import (
    ArgumentsError,
    CodecError,
    GiveUp,
    HolderLostError,
    JournalBusyError,
    JournalDamagedError,
    JournalError,
    JournalFullError,
    JournalReadOnlyError,
    JournalRefusedError,
    JournalUnavailableError,
    NoJournalError,
    RetryAfter,
    TransactionError,
)
from inprocess.journal.model.job import CurrentJob, Enqueued
from inprocess.journal.running_job import current_job
from inprocess.journal.sets import Job, JobSet, Stats
from inprocess.journal.task import DurableTask, durable

__all__ = [
    "ArgumentsError",
    "Codec",
    "CodecError",
    "CurrentJob",
    "DurableTask",
    "Enqueued",
    "GiveUp",
    "HolderLostError",
    "Job",
    "JobSet",
    "Journal",
    "JournalBusyError",
    "JournalDamagedError",
    "JournalError",
    "JournalFullError",
    "JournalReadOnlyError",
    "JournalRefusedError",
    "JournalUnavailableError",
    "NoJournalError",
    "RetryAfter",
    "Stats",
    "TransactionError",
    "current_job",
    "durable",
]
