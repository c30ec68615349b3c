"""Durable tasks: functions whose calls can be enqueued, and the journals of this process.

A task's name stands in its jobs' rows. It is the function's module and qualified name, or `name=`: give one
before you move or rename a function, so that jobs written before still find it.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
import threading
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property, update_wrapper
from pathlib import Path
from typing import Any, Final, Generic, ParamSpec, Protocol, TypeVar, overload
from zlib import crc32

from inprocess.journal.model.codec import Codecs
from inprocess.journal.model.errors import ArgumentsError, NoJournalError
from inprocess.journal.model.job import (
    MAX_ATTEMPTS,
    PRIORITIES,
    QUEUE,
    SECOND,
    Enqueued,
    NewJob,
    new_id,
    now_us,
)
from inprocess.supervision.core.process import SHUTDOWN_S, ShutdownLimit, check_limit
from inprocess.supervision.core.redact import function_name
from inprocess.supervision.core.restarts import Backoff
from inprocess.supervision.core.thread_bridge import is_async
from inprocess.supervision.isolation.isolation import Isolation, check_function
from inprocess.supervision.tasks.child_options import options_of

#: Waits of 1, 2, 4 s … up to an hour: with MAX_ATTEMPTS over about 13 hours.
RETRY: Final = Backoff(initial_s=1.0, factor=2.0, max_s=3600.0, jitter=0.1)

P = ParamSpec("P")
T = TypeVar("T")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Destination(Protocol):
    """Where jobs are written: a Journal."""

    @property
    def codecs(self) -> Codecs:
        """What encodes the arguments."""

    @property
    def is_running(self) -> bool:
        """Whether its process runs."""

    async def write(self, job: NewJob, *, repeats: bool) -> Enqueued:
        """Write a job in a transaction of its own. `repeats`: the caller has chosen the id."""

    def write_from_thread(self, job: NewJob, *, repeats: bool) -> Enqueued:
        """Like `write`, for a thread, which waits."""

    def write_within(self, within: object, job: NewJob, *, repeats: bool) -> Enqueued:
        """Write a job in the caller's transaction."""


class DurableTask(Generic[P, T]):
    """A function whose calls can be enqueued. Made by `durable`. Calling it runs the function, as ever."""

    __wrapped__: Callable[P, T]

    def __init__(
        self,
        function: Callable[P, T],
        *,
        name: str | None = None,
        retry: Backoff | None = RETRY,
        max_attempts: int = MAX_ATTEMPTS,
        queue: str = QUEUE,
        priority: int = 0,
        isolation: Isolation | None = None,
        shutdown: ShutdownLimit = SHUTDOWN_S,
        journal: Destination | None = None,
        listed: bool = True,
    ) -> None:
        """As `durable` says. One that is not `listed` is run by a process that was started for it alone."""
        check_function(function)
        check_limit(shutdown)
        if max_attempts < 1:
            raise ValueError(
                f"{function_name(function)}: max_attempts is {max_attempts}: expected 1 at least"
            )
        _check_place(queue, priority)
        self.function = function
        self.name = name or _name_of(function)
        #: The wait before each further attempt; None runs a failed job once.
        self.retry = retry
        self.max_attempts = max_attempts if retry is not None else 1
        self.queue = queue
        self.priority = priority
        self.isolation: Isolation | None = isolation
        #: Seconds that a running job has to end at the end of the app.
        self.shutdown: ShutdownLimit = shutdown
        #: Of the children that run its jobs, shared by all of them.
        self.child_options = options_of("temporary", {"name": self.name, "shutdown": shutdown})
        self.journal = journal
        #: Whether it runs on the loop as it is.
        self.is_on_loop = is_async(function) and isolation is None
        update_wrapper(self, function)
        taken = sorted(_OPTIONS & self.signature.parameters.keys())
        if taken:
            raise ValueError(
                f"{self.name}: its parameter {taken[0]!r} has the name of an option of enqueue(): rename it"
            )
        if listed:
            register(self)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run the function now, in the caller: no row, no retry."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<durable task {self.name}>"

    def __reduce__(self) -> str:
        """Pickle by name, as a function does."""
        return self.function.__qualname__

    @cached_property
    def signature(self) -> inspect.Signature:
        """The function's signature."""
        return inspect.signature(self.function)

    @cached_property
    def fingerprint(self) -> str:
        """Changes with the names and kinds of the parameters, and with which of them must be given."""
        parts = [
            f"{parameter.kind.value}{parameter.name}{'' if parameter.default is parameter.empty else '='}"
            for parameter in self.signature.parameters.values()
        ]
        return f"{crc32(','.join(parts).encode()):08x}"

    @overload
    def enqueue(
        self, *args: Any, within: None = None, key: str | None = None, run_at: datetime | None = None,
        delay_s: float | None = None, queue: str | None = None, priority: int | None = None,
        job_id: str | None = None, journal: Destination | None = None, **kwargs: Any,
    ) -> Coroutine[Any, Any, Enqueued]: ...  # fmt: skip

    @overload
    def enqueue(
        self, *args: Any, within: object, key: str | None = None, run_at: datetime | None = None,
        delay_s: float | None = None, queue: str | None = None, priority: int | None = None,
        job_id: str | None = None, journal: Destination | None = None, **kwargs: Any,
    ) -> Enqueued: ...  # fmt: skip

    def enqueue(
        self, *args: Any, within: object | None = None, journal: Destination | None = None, **given: Any
    ) -> Coroutine[Any, Any, Enqueued] | Enqueued:
        """Write a job that calls the function with these arguments, at least once.

        Await it: then the job is on disk when this returns. With `within=`, an open transaction of the same
        database, the job is written in it: there is nothing to await, and the job is there if and when that
        commits. See `transactions` for what may be given.

        - `key`: while a job with this key waits, runs or is parked, no other is written: the answer has that
          job's id, and `is_new` False.
        - `run_at`, an aware datetime, or `delay_s`, seconds: not before then, by the wall clock.
        - `queue`, `priority` (9 runs first): in place of the task's.
        - `job_id`: an id of the caller's, to repeat an enqueue whose answer was lost.
        - `journal`: in place of the task's, or of the only one in this process.

        Raise ArgumentsError for what JSON does not give back, TypeError for arguments that the function does
        not take, TransactionError for a `within=` that cannot take the job, NoJournalError without a journal,
        and JournalError, as a subclass that says why, if it cannot be written.
        """
        destination = journal or self.journal or the_journal()
        job = self.new_job(destination.codecs, args, **given)
        repeats = given.get("job_id") is not None
        if within is not None:
            return destination.write_within(within, job, repeats=repeats)
        return destination.write(job, repeats=repeats)

    def enqueue_from_thread(self, *args: Any, journal: Destination | None = None, **given: Any) -> Enqueued:
        """Like `enqueue` without `within=`, from a thread, which waits until the job is on disk.

        Raise RuntimeError in a thread whose event loop runs: the loop would wait for itself.
        """
        if asyncio._get_running_loop() is not None:  # noqa: SLF001 - documented under this name
            raise RuntimeError(
                f"{self.name}: enqueue_from_thread() would block the event loop of this thread: "
                "await enqueue() here, or call this by asyncio.to_thread"
            )
        destination = journal or self.journal or the_journal()
        job = self.new_job(destination.codecs, args, **given)
        return destination.write_from_thread(job, repeats=given.get("job_id") is not None)

    def new_job(
        self, codecs: Codecs, args: Sequence[Any], *, key: str | None = None, run_at: datetime | None = None,
        delay_s: float | None = None, queue: str | None = None, priority: int | None = None,
        job_id: str | None = None, **kwargs: Any,
    ) -> NewJob:  # fmt: skip
        """Return what is written for a job; the arguments are those of `enqueue`."""
        try:
            self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.name}{self.signature}: {error}") from None
        place = (self.queue if queue is None else queue, self.priority if priority is None else priority)
        if queue is not None or priority is not None:
            _check_place(*place)
        if key is not None and (type(key) is not str or not key):
            raise ArgumentsError(f"{self.name}: the key is {key!r}: expected a text that is not empty")
        created = now_us()
        body = codecs.dumps(self.name, args, kwargs)
        due = created if run_at is None and delay_s is None else self._due(created, run_at, delay_s)
        return NewJob(
            job_id or new_id(), self.name, *place, codecs.name, body, key, self.max_attempts, due, created
        )

    def _due(self, now: int, run_at: datetime | None, delay_s: float | None) -> int:
        if run_at is None:
            if type(delay_s) not in {int, float} or not 0 <= float(delay_s or 0) < _FAR_S:
                raise ArgumentsError(f"{self.name}: delay_s is {delay_s!r}: expected seconds of at least 0")
            return now + round(float(delay_s or 0) * SECOND)
        if delay_s is not None:
            raise ArgumentsError(f"{self.name}: run_at and delay_s are both given: give one of them")
        given: object = run_at
        if not isinstance(given, datetime) or given.tzinfo is None:
            raise ArgumentsError(
                f"{self.name}: run_at is {run_at!r}: expected a datetime with a time zone, such as "
                "datetime.now(UTC)"
            )
        return max(now, (run_at - _EPOCH) // _MICROSECOND)


#: Seconds of a delay that nobody means: a hundred thousand years.
_FAR_S: Final = 1e12 * 3
#: The names of what `enqueue` takes beside the arguments.
_OPTIONS: Final = frozenset({"within", "key", "run_at", "delay_s", "queue", "priority", "job_id", "journal"})


@overload
def durable(function: Callable[P, T], /) -> DurableTask[P, T]: ...


@overload
def durable(
    *, name: str | None = None, retry: Backoff | None = RETRY, max_attempts: int = MAX_ATTEMPTS,
    queue: str = QUEUE, priority: int = 0, isolation: Isolation | None = None,
    shutdown: ShutdownLimit = SHUTDOWN_S, journal: Destination | None = None,
) -> Callable[[Callable[P, T]], DurableTask[P, T]]: ...  # fmt: skip


def durable(function: Callable[P, T] | None = None, /, **options: Any) -> Any:
    """Make a durable task of a function: `@durable`, or `@durable(retry=Backoff(...), max_attempts=25)`.

    - `name`: stands in the rows; by default the function's module and qualified name.
    - `retry`: the wait before each further attempt, RETRY by default; None for one attempt alone.
    - `max_attempts`: runs of a job before it is dead. Deaths of its process are counted apart.
    - `queue`, `priority`: of its jobs, unless `enqueue` says otherwise; 9 runs first.
    - `isolation`, `shutdown`: as of a child, see `ChildOptions`.
    - `journal`: where its jobs go; by default to the only journal of the process.

    An async function runs on the loop, a plain one in a thread. Raise ValueError for a name that another
    function has, and for options out of range.
    """
    if function is not None:
        return DurableTask(function)
    return lambda function: DurableTask(function, **options)


# What this process knows.

_tasks: dict[str, DurableTask[Any, Any]] = {}
_journals: list[Destination] = []
_changing = threading.Lock()
_changes = 0


def register(task: DurableTask[Any, Any]) -> None:
    """Add a task under its name; raise ValueError if another function has it."""
    global _changes  # noqa: PLW0603 - tells whether the registry has changed
    with _changing:
        there = _tasks.get(task.name)
        if there is not None and _name_of(there.function) != _name_of(task.function):
            raise ValueError(
                f"two functions are durable tasks named {task.name!r}: {_name_of(there.function)} and "
                f"{_name_of(task.function)}; give one of them another name="
            )
        _tasks[task.name] = task
        _changes += 1


def changes() -> int:
    """Return a number that grows whenever a task is registered."""
    return _changes


def known_tasks(journal: Destination) -> dict[str, DurableTask[Any, Any]]:
    """Return the tasks whose jobs a journal runs, by name: its own, and those of any journal."""
    with _changing:
        return {
            name: task for name, task in _tasks.items() if task.journal is None or task.journal is journal
        }


def all_tasks() -> list[DurableTask[Any, Any]]:
    """Return every task of this process that is listed."""
    with _changing:
        return list(_tasks.values())


def task_named(name: str) -> DurableTask[Any, Any] | None:
    """Return the task with this name."""
    return _tasks.get(name)


def made(journal: Destination) -> None:
    """Note a journal of this process."""
    _journals.append(journal)


def closed(journal: Destination) -> None:
    """Forget a journal."""
    if journal in _journals:
        _journals.remove(journal)


def the_journal() -> Destination:
    """Return the only journal that runs in this process, else the only one; raise NoJournalError."""
    for journals in ([journal for journal in list(_journals) if journal.is_running], list(_journals)):
        if len(journals) == 1:
            return journals[0]
    if not _journals:
        raise NoJournalError("no journal in this process: make one first, Journal('sqlite:///app.db')")
    raise NoJournalError(
        f"{len(_journals)} journals in this process: say which one, enqueue(..., journal=...)"
    )


def _after_fork() -> None:
    global _changing  # noqa: PLW0603 - another thread of the original may have held it
    _changing = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


def _name_of(function: Callable[..., object]) -> str:
    module = getattr(function, "__module__", None) or "?"
    if module == "__main__":
        module = _main_name()
    return f"{module}.{function_name(function)}"


def _main_name() -> str:
    """The name by which other programs import the module that was started as a program."""
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name).removesuffix(".__main__")
    return Path(getattr(main, "__file__", None) or "__main__").stem


def _check_place(queue: str, priority: int) -> None:
    if type(queue) is not str or not queue:
        raise ArgumentsError(f"the queue is {queue!r}: expected a text that is not empty")
    if type(priority) is not int or priority not in PRIORITIES:
        raise ArgumentsError(f"the priority is {priority!r}: expected 0 to 9, where 9 runs first")
