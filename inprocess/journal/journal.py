"""Journal: durable jobs in a database that the app has, run by a process in the app's supervision tree.

    from inprocess import ChildSpec, Supervisor
    from inprocess.journal import Journal, durable

    @durable
    async def create_contact(user_id: int) -> None: ...

    journal = Journal("sqlite:///app.db")
    Supervisor.start([ChildSpec("journal", journal.start)])

**At least once**: a job whose row is committed runs until one run has ended well, whatever becomes of
processes in between. A run that was cut by a kill is repeated; `current_job().id` is the same in all runs.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, Protocol, Self, TypeVar, cast

from inprocess.journal import task as registry
from inprocess.journal.model import operations as op
from inprocess.journal.model.codec import Codec, Codecs
from inprocess.journal.model.errors import JournalBusyError
from inprocess.journal.model.job import Enqueued, NewJob
from inprocess.journal.model.store import Store
from inprocess.journal.runner import CONCURRENCY, Runner
from inprocess.journal.sets import JobSet, Stats
from inprocess.journal.stores import make_store
from inprocess.journal.task import DurableTask
from inprocess.journal.ticks import JournalTicks
from inprocess.journal.transactions import transaction_of
from inprocess.journal.transactions.django import cure_at_start
from inprocess.journal.writer import BUSY_S, WAIT_S, Writer
from inprocess.supervision.core.clock import Clock
from inprocess.supervision.core.errors import AlreadyStartedError
from inprocess.supervision.core.log import log
from inprocess.supervision.core.thread_bridge import hop
from inprocess.supervision.lifecycle.runtime import home_loop

#: Seconds for which a journal keeps done jobs: a week. 0 deletes a job when it is done.
HISTORY_S: Final = 7 * 86400.0
#: Seconds for which it keeps dead jobs: half a year, as Sidekiq.
DEAD_S: Final = 180 * 86400.0
#: Seconds between two looks at whether the writer has ended.
ENDING_LOOK_S: Final = 0.002
#: Seconds that `close` waits for what was submitted to be written.
CLOSE_S: Final = 5.0

T = TypeVar("T")


class KnownTasks(Protocol):
    """Which tasks a process of `start_for` runs."""

    @property
    def queues(self) -> tuple[str, ...] | None:
        """The queues whose jobs it runs now; None for all."""

    def known(self) -> dict[str, DurableTask[Any, Any]]:
        """The tasks, by name."""

    def changes(self) -> int:
        """A number that changes whenever `known` does."""


class Journal:
    """Durable jobs in one database; see the module. Making one touches no file: `start` and `enqueue` do.

    - `url`: `sqlite:///app.db`, `sqlite:////abs/app.db`, or `postgresql://user@host/name?schema=shop`. A
      database for the journal alone, or the app's own, so that `within=` can write in its transactions.
    - `app`: a name; a journal that belongs to another app is refused.
    - `concurrency`: jobs that a process runs at once.
    - `queues`: the queues whose jobs this process runs; all by default.
    - `codecs`: what turns arguments into the bytes of a row, see `Codec`: the first writes, all read.
    - `durability`: "full" survives a power failure at any time, "normal" may lose what was committed last.
      A kill of the process loses nothing in either.
    - `history_s`, `dead_s`: seconds for which done and dead jobs are kept.

    Raise ValueError, or JournalRefusedError for a URL that is none. Any thread.
    """

    def __init__(
        self,
        url: str,
        *,
        app: str | None = None,
        name: str = "journal",
        concurrency: int = CONCURRENCY,
        queues: Iterable[str] | None = None,
        codecs: Iterable[Codec] = (),
        durability: Literal["full", "normal"] = "full",
        history_s: float = HISTORY_S,
        dead_s: float = DEAD_S,
    ) -> None:
        if concurrency < 1:
            raise ValueError(f"concurrency is {concurrency}: expected 1 at least")
        if not history_s >= 0 or not dead_s >= 0:
            raise ValueError(f"history_s is {history_s} and dead_s {dead_s}: expected seconds of at least 0")
        self.name = name
        self.codecs = Codecs(codecs)
        self.queues = None if queues is None else tuple(queues)
        self.history_s = history_s
        self.dead_s = dead_s
        self._concurrency = concurrency
        self._make_store: Callable[[], Store] = partial(make_store, url, app=app, durability=durability)
        self._for_callers = self._make_store()  # writes through callers' connections, and opens none
        self._warned: set[str] = set()
        self._ticks = JournalTicks(self)
        self._begin_anew()
        registry.made(self)
        _made.add(self)

    def _begin_anew(self) -> None:
        """Have nothing open: at first, and in a fork, which must not touch what it has inherited."""
        self._lock = threading.Lock()
        self._looking = threading.Lock()
        self._for_looks: Store | None = None
        self._writer: Writer | None = None
        self._runner: Runner | None = None
        #: All that use the writer: that one, and those of `start_for`.
        self._runners: list[Runner] = []

    def __repr__(self) -> str:
        return f"<journal {self.url}>"

    @property
    def url(self) -> str:
        """Its URL, without a password."""
        return self._for_callers.url

    @property
    def is_running(self) -> bool:
        """Whether its process runs here."""
        return self._runner is not None

    @property
    def is_there(self) -> bool:
        """Whether its database has the tables of a journal. Makes nothing; raise JournalError."""
        return self._for_callers.is_there()

    # As a child of a supervision tree.

    def start_for(
        self, tasks: KnownTasks, *, concurrency: int, name: str, clock: Clock | None = None
    ) -> Runner:
        """Start a process on the running loop that runs the jobs of these tasks alone, beside any other.

        The tasks are not `listed`: no other process of this journal runs them.
        """
        part = _Part(self, tasks)
        runner = Runner.start(part, concurrency=concurrency, name=name, clock=clock)
        self._runners.append(runner)
        return runner

    def start(self, *, name: str | None = None, clock: Clock | None = None) -> Runner:
        """Start its process, which runs jobs, and return it: `ChildSpec("journal", journal.start)`.

        It lives on the running loop; without one, on the runtime's. Its `ready` waits until it has opened the
        database, and raises StartError if that fails. Raise AlreadyStartedError while another one runs.
        """
        start = partial(self._start, name, clock)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return hop(home_loop(), start)
        return start()

    async def __aenter__(self) -> Self:
        await self.start().ready()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        runner, writer = self._runner, self._writer
        if runner is not None:
            await runner.stop()
        deadline = time.monotonic() + CLOSE_S
        while writer is not None and not writer.join(0.0):
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(ENDING_LOOK_S)
        self.close()

    def open(self) -> None:
        """Make the tables if they are not there, for a `within=` before any start. Raise JournalError."""
        self.ask(op.Count("waiting", 0))

    def close(self) -> None:
        """Release what it has opened, once what was submitted is written. Any thread; not while it runs."""
        registry.closed(self)
        writer = self._stop_writer()
        if writer is not None:
            writer.join(CLOSE_S)
        with self._looking:
            opened, self._for_looks = self._for_looks, None
            if opened is not None:
                opened.close()

    # Its sets.

    @property
    def waiting(self) -> JobSet:
        """Jobs that are due and wait for a free slot."""
        return JobSet(self, "waiting")

    @property
    def scheduled(self) -> JobSet:
        """Jobs with a `run_at` or a delay that are not due yet."""
        return JobSet(self, "scheduled")

    @property
    def retries(self) -> JobSet:
        """Jobs that failed and wait for their next run."""
        return JobSet(self, "retries")

    @property
    def running(self) -> JobSet:
        """Jobs that a process runs."""
        return JobSet(self, "running")

    @property
    def moving(self) -> JobSet:
        """Jobs that are being handed over to another system."""
        return JobSet(self, "moving")

    @property
    def dead(self) -> JobSet:
        """Jobs that were given up."""
        return JobSet(self, "dead")

    @property
    def parked(self) -> JobSet:
        """Jobs that the code here cannot run: their function is unknown, or takes other arguments."""
        return JobSet(self, "parked")

    @property
    def done(self) -> JobSet:
        """Jobs that are done, as long as they are kept."""
        return JobSet(self, "done")

    @property
    def ticks(self) -> JournalTicks:
        """Where periodic servers keep their last ticks: `Periodic.start(..., state=journal.ticks)`."""
        return self._ticks

    def stats(self) -> Stats:
        """Return the sizes of all sets, and how long the oldest due job waits."""
        return Stats.of(self)

    # For tasks, sets and its process.

    async def write(self, job: NewJob, *, repeats: bool) -> Enqueued:
        """Write a job in a transaction of its own; see `DurableTask.enqueue`."""
        loop = asyncio.get_running_loop()
        written: asyncio.Future[op.Inserted] = loop.create_future()
        self._enqueue(job, loop, partial(_settle, written, loop))
        return _enqueued(job, await written, repeats=repeats)

    def write_from_thread(self, job: NewJob, *, repeats: bool) -> Enqueued:
        """Like `write`, for a thread, which waits."""
        return _enqueued(job, self.begin_to_write(job).result(), repeats=repeats)

    def begin_to_write(self, job: NewJob) -> concurrent.futures.Future[op.Inserted]:
        """Write a job in a transaction of its own; the future is done when it is on disk. Any thread.

        A loop's thread may wait for it, and is held meanwhile: the writer's own thread answers.
        """
        written: concurrent.futures.Future[op.Inserted] = concurrent.futures.Future()
        self._enqueue(job, None, partial(_settle_future, written), is_direct=True)
        return written

    def write_within(self, within: object, job: NewJob, *, repeats: bool) -> Enqueued:
        """Write a job in the caller's transaction."""
        transaction = transaction_of(within)
        inserted = self._for_callers.insert_within(transaction, job)
        self._warn(transaction.cure())
        runners = tuple(self._runners)
        if runners and not transaction.after_commit(partial(_look, runners)):
            self.writer().expect_soon()
        return _enqueued(job, inserted, repeats=repeats)

    def ask(self, operation: op.Operation[T]) -> T:
        """Apply one operation on a connection of its own. Any thread, which waits. Raise JournalError."""
        with self._looking:
            if self._for_looks is None:
                store = self._make_store()
                store.open(_nothing)
                self._for_looks = store
            return apply_patiently(self._for_looks, operation)

    def submit(self, operation: op.Operation[T]) -> concurrent.futures.Future[T]:
        """Apply an operation in the writer's next commit; those of one thread in their order. Any thread."""
        done: concurrent.futures.Future[T] = concurrent.futures.Future()
        while not self.writer().submit(operation, None, partial(_settle_future, done)):
            pass
        return done

    def known_tasks(self) -> dict[str, DurableTask[Any, Any]]:
        """The tasks that it runs, by name."""
        return registry.known_tasks(self)

    def changes(self) -> int:
        """See `runner.Home`."""
        return registry.changes()

    def writer(self) -> Writer:
        """Its writer, started; another one if that has ended."""
        with self._lock:
            writer = self._writer
            if writer is None or writer.error is not None:
                writer = self._writer = Writer(self._make_store())
                writer.start()
            return writer

    def ended(self, runner: Runner) -> None:
        """Forget its process, which has ended, and end the writer; the next enqueue makes another."""
        if runner in self._runners:
            self._runners.remove(runner)
        if self._runner is runner:
            self._runner = None
        if not self._runners:
            self._stop_writer()

    def _warn(self, cure: str | None) -> None:
        """Warn once of transactions of the app's that the journal's own may lock out."""
        if cure is None or cure in self._warned:
            return
        self._warned.add(cure)
        log.warning(
            "%s: a transaction of the app's that reads and then writes %s fails with 'database is locked' if "
            "the journal has written in between, whatever its time-out: begin it with the right to write, %s",
            self.name, self.url, cure,
        )  # fmt: skip

    def _stop_writer(self) -> Writer | None:
        with self._lock:
            writer, self._writer = self._writer, None
        if writer is not None:
            writer.stop()
        return writer

    def _start(self, name: str | None, clock: Clock | None) -> Runner:
        before = self._runner
        if before is not None and before.exit is None:
            if before.loop.is_running():
                raise AlreadyStartedError(f"the journal {self.url} runs in this process already")
            before.forsake()
            self._runners.remove(before)
            if not self._runners:
                self._stop_writer()
        if self.url.startswith("sqlite:"):
            self._warn(cure_at_start(Path(self.url.removeprefix("sqlite:///"))))
        self._runner = Runner.start(self, concurrency=self._concurrency, name=name or self.name, clock=clock)
        self._runners.append(self._runner)
        return self._runner

    def _enqueue(
        self,
        job: NewJob,
        loop: asyncio.AbstractEventLoop | None,
        settle: Callable[..., object],
        *,
        is_direct: bool = False,
    ) -> None:
        running = [
            runner for runner in self._runners if runner.loop.is_running()
        ]  # others ended without a stop
        knows = [runner for runner in running if runner.knows(job)]
        runner = next(iter(knows or running), None)
        holder = runner.holder if runner is not None and runner.takes(job) else None
        operation = op.Enqueue(job, holder)
        answer: Callable[..., object]
        if is_direct:
            to, answer = None, partial(_inserted_directly, operation, runner, settle)
        else:
            to = loop if runner is None else runner.loop
            answer = partial(_inserted, operation, runner, settle)
        while not self.writer().submit(operation, to, answer):
            pass


def apply_patiently(store: Store, operation: op.Operation[T]) -> T:
    """Apply an operation, trying again while another process writes; raise JournalBusyError after WAIT_S."""
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            (result,) = store.apply([operation])
        except JournalBusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(BUSY_S)
        else:
            return cast("T", result)


def _inserted(
    operation: op.Enqueue,
    runner: Runner | None,
    settle: Callable[..., object],
    inserted: op.Inserted | None,
    error: BaseException | None,
) -> None:
    """Let the process run a job that it has claimed, or look for one that is due; then answer the caller."""
    if runner is not None:
        if operation.holder is not None:
            runner.claimed(None if inserted is None else inserted.row)
        elif inserted is not None and operation.job.due <= operation.job.created:
            runner.look()
    settle(inserted, error)


def _inserted_directly(
    operation: op.Enqueue,
    runner: Runner | None,
    settle: Callable[..., object],
    inserted: op.Inserted | None,
    error: BaseException | None,
) -> None:
    """As `_inserted`, on the writer's thread."""
    settle(inserted, error)
    if runner is not None:
        with suppress(RuntimeError):  # its loop is closed
            runner.loop.call_soon_threadsafe(_inserted, operation, runner, _ignored, inserted, error)


def _enqueued(job: NewJob, inserted: op.Inserted, *, repeats: bool) -> Enqueued:
    # A row with the id of a job that was not repeated is its own, of a commit that was in doubt.
    return Enqueued(inserted.id, inserted.is_new or (inserted.id == job.id and not repeats))


def _settle(
    written: asyncio.Future[op.Inserted],
    loop: asyncio.AbstractEventLoop,
    result: Any,
    error: BaseException | None,
) -> None:
    """Answer a coroutine, from its own loop or from another's."""
    if asyncio._get_running_loop() is not loop:  # noqa: SLF001 - documented under this name
        with suppress(RuntimeError):  # its loop is closed
            loop.call_soon_threadsafe(_settle, written, loop, result, error)
    elif not written.done():
        if error is None:
            written.set_result(result)
        else:
            written.set_exception(error)


def _settle_future(written: concurrent.futures.Future[Any], result: Any, error: BaseException | None) -> None:
    if error is None:
        written.set_result(result)
    else:
        written.set_exception(error)


def _look(runners: Sequence[Runner]) -> None:
    """Let runners look for work, from any thread."""
    for runner in runners:
        with suppress(RuntimeError):  # its loop is closed
            runner.loop.call_soon_threadsafe(runner.look)


def _ignored(*_: object) -> None:
    """For an answer that was given before."""


def _nothing() -> None:
    """For a store of which nobody wants to know changes."""


@dataclass(frozen=True, eq=False)
class _Part:
    """A journal as the home of a process that runs some tasks alone, see `runner.Home`."""

    journal: Journal
    tasks: KnownTasks

    @property
    def name(self) -> str:
        return self.journal.name

    @property
    def codecs(self) -> Codecs:
        return self.journal.codecs

    @property
    def queues(self) -> tuple[str, ...] | None:
        return self.tasks.queues

    @property
    def history_s(self) -> float:
        return self.journal.history_s

    @property
    def dead_s(self) -> float:
        return self.journal.dead_s

    def known_tasks(self) -> dict[str, DurableTask[Any, Any]]:
        return self.tasks.known()

    def changes(self) -> int:
        return self.tasks.changes()

    def writer(self) -> Writer:
        return self.journal.writer()

    def ended(self, runner: Runner, /) -> None:
        self.journal.ended(runner)


def made_at(url: str) -> Journal | None:
    """Return a journal of this process at this URL, if one was made and has codecs."""
    return next((made for made in list(_made) if made.url == url and made.codecs.name is not None), None)


_made: weakref.WeakSet[Journal] = weakref.WeakSet()


def _before_fork() -> None:
    """Wait until no thread of ours is in a database library, whose locks a fork would inherit."""
    for journal in list(_made):
        writer = journal._writer  # noqa: SLF001 - of this module
        for lock in (journal._looking, *(() if writer is None else (writer.in_store,))):  # noqa: SLF001 - as above
            lock.acquire()
            _held.append(lock)


def _after_fork_here() -> None:
    while _held:
        _held.pop().release()


def _after_fork() -> None:
    _held.clear()
    for journal in _made:
        _inherited.append(vars(journal).copy())  # so that nothing of it is closed here
        journal._begin_anew()  # noqa: SLF001 - of this module


_held: list[threading.Lock] = []
_inherited: list[dict[str, Any]] = []
os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_here, after_in_child=_after_fork)
