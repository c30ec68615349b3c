"""The sets of a journal: look, find, and act on one job, some or all. The words are Sidekiq's.

Any thread and any process, whether the journal runs there or not; each call waits for the database.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, Final, Protocol, TypeVar

from inprocess.journal.model import operations as op
from inprocess.journal.model.codec import Codecs
from inprocess.journal.model.errors import CodecError, JournalError
from inprocess.journal.model.job import SECOND, Row, State, now_us
from inprocess.journal.task import task_named
from inprocess.supervision.core.redact import redact, redact_call, repr_of

#: Jobs that one statement reads, and that one transaction changes.
BATCH: Final = 500

T = TypeVar("T")


class Asked(Protocol):
    """What a set needs of its journal."""

    @property
    def codecs(self) -> Codecs:
        """What reads the arguments."""

    def ask(self, operation: op.Operation[T], /) -> T:
        """Apply one operation; raise JournalError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as a set shows it. Times are seconds since 1970.

    `due` is when it may run; `at` is when it died or was done, else `due`. `call` is the call with its
    arguments, truncated and secrets hidden. `error` is that of its last failure, or why it is parked.
    """

    id: str
    task: str
    queue: str
    priority: int
    state: str
    at: float
    due: float
    created: float
    attempt: int
    max_attempts: int
    kills: int
    key: str | None
    error: str | None
    call: str
    n: int = field(repr=False)
    row: Row = field(repr=False)

    def summary(self) -> dict[str, Any]:
        """Return the public fields in JSON's types."""
        return {
            known.name: getattr(self, known.name) for known in fields(self) if known.name not in {"n", "row"}
        }


class JobSet:
    """The jobs of a journal in one state. Iterating goes from the last enqueued to the first."""

    def __init__(self, journal: Asked, name: op.SetName, only: op.Filter = op.ALL) -> None:
        self._journal = journal
        self.name: op.SetName = name
        self._only = only

    def only(self, *, task: str | None = None, queue: str | None = None) -> JobSet:
        """Return the part of this set that is of a task, or of a queue."""
        return JobSet(self._journal, self.name, op.Filter(task or self._only.task, queue or self._only.queue))

    def __iter__(self) -> Iterator[Job]:
        """Every job, read in pages: what stays in the set is seen exactly once."""
        below: int | None = None
        while rows := self._journal.ask(op.Page(self.name, now_us(), below, BATCH, self._only)):
            yield from (job_of(row, self._journal.codecs) for row in rows)
            below = rows[-1].n

    def __len__(self) -> int:
        """As `size`."""
        return self.size()

    def size(self) -> int:
        """Return how many jobs are in the set."""
        return self._journal.ask(op.Count(self.name, now_us(), self._only))

    def latency(self) -> float:
        """Return the seconds for which its oldest job has been due, dead or done; 0.0 if there is none."""
        oldest = self._journal.ask(op.Oldest(self.name, now_us()))
        return 0.0 if oldest is None else max(0.0, time.time() - oldest / SECOND)

    def find(self, job_id: str) -> Job | None:
        """Return the job with this id if it is in the set."""
        row = self._journal.ask(op.Find(job_id))
        if row is None or not self._has(row):
            return None
        return job_of(row, self._journal.codecs)

    def retry(self, *jobs: Job) -> int:
        """Make these due now, dead and parked ones with all attempts; return how many were in the set."""
        return self._act("retry", jobs)

    def kill(self, *jobs: Job) -> int:
        """Make these jobs dead; return how many were in the set. Not for the running set."""
        return self._act("kill", jobs)

    def delete(self, *jobs: Job) -> int:
        """Delete these for good; return how many were in the set. Not for the running set."""
        return self._act("delete", jobs)

    def retry_all(self) -> int:
        """Make every job that is in the set now due now; return how many."""
        return self._act_on_all("retry")

    def kill_all(self) -> int:
        """Make every job that is in the set now dead; return how many."""
        return self._act_on_all("kill")

    def clear(self) -> int:
        """Delete all for good, in batches; return how many."""
        return self._act_on_all("delete")

    def _act(self, action: op.Action, jobs: tuple[Job, ...]) -> int:
        self._check(action)
        numbers = [job.n for job in jobs]
        parts = [numbers[start : start + BATCH] for start in range(0, len(numbers), BATCH)]
        return sum(len(self._journal.ask(op.Act(action, self.name, part, now_us()))) for part in parts)

    def _act_on_all(self, action: op.Action) -> int:
        self._check(action)
        now, below, count = now_us(), None, 0
        while rows := self._journal.ask(op.Page(self.name, now, below, BATCH, self._only)):
            count += len(self._journal.ask(op.Act(action, self.name, [row.n for row in rows], now_us())))
            below = rows[-1].n
        return count

    def _check(self, action: op.Action) -> None:
        if self.name in {"running", "moving"}:
            raise JournalError(f"a {self.name} job cannot be changed: {action} it when that has ended")
        if (self.name, action) in {("dead", "kill"), ("done", "kill"), ("done", "retry")}:
            raise JournalError(
                f"a job that is {self.name} cannot be changed so: {action} is for those that wait"
            )

    def _has(self, row: Row) -> bool:
        of = op.SETS[self.name]
        return (
            row.state == of.state
            and of.is_due in {None, row.due <= now_us()}
            and of.has_run in {None, row.attempt > 0}
            and self._only.task in {None, row.fn}
            and self._only.queue in {None, row.queue}
        )


@dataclass(frozen=True, slots=True)
class Stats:
    """Sizes of the sets, and `latency`, the seconds for which the oldest due job has waited."""

    waiting: int
    scheduled: int
    retries: int
    running: int
    moving: int
    dead: int
    parked: int
    done: int
    latency: float

    @classmethod
    def of(cls, journal: Asked) -> Stats:
        """Return those of a journal."""
        sizes = {name: JobSet(journal, name).size() for name in _NAMES}
        return cls(**sizes, latency=JobSet(journal, "waiting").latency())


_NAMES: Final[tuple[op.SetName, ...]] = (
    "waiting", "scheduled", "retries", "running", "moving", "dead", "parked", "done",
)  # fmt: skip


def job_of(row: Row, codecs: Codecs) -> Job:
    """Return what a set shows of a row."""
    return Job(
        id=row.id, task=row.fn, queue=row.queue, priority=row.priority, state=State(row.state).name.lower(),
        at=(row.due if row.ended is None else row.ended) / SECOND, due=row.due / SECOND,
        created=row.created / SECOND, attempt=row.attempt, max_attempts=row.max_attempts, kills=row.kills,
        key=row.key, error=row.error, call=_call(row, codecs), n=row.n, row=row,
    )  # fmt: skip


def _call(row: Row, codecs: Codecs) -> str:
    try:
        args, kwargs = codecs.loads(row.codec, row.args)
    except CodecError:
        return f"{row.fn}(<{len(row.args)} bytes of {repr_of(row.codec)}>)"
    task = task_named(row.fn)
    if task is not None:
        return redact_call(task.function, args, kwargs)
    shown = [
        *map(redact, args),
        *(f"{name}={redact({name: value})[len(repr(name)) + 3 : -1]}" for name, value in kwargs.items()),
    ]
    return f"{row.fn.rpartition('.')[2]}({', '.join(shown)})"
