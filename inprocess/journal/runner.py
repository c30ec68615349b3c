"""Runner: the process that runs a journal's jobs, a child of any supervision tree.

1. It registers as a holder, takes over what dead holders held, and claims due jobs, at most as many as it
   has free slots. Each runs as a temporary child of a TaskSupervisor of its own.
2. What became of a job is written when it ended, in one commit with the others of that moment and with the
   next claim. An enqueue in a process with a free slot is claimed as it is written.
3. It looks for work when one of its own jobs ends, when another process has committed, when the next job is
   due, and every BEAT_S in case a signal was lost. Then it also looks for dead holders.
4. Quiet: it claims nothing more and gives back what has not begun. Stop: running jobs are cancelled, each
   within its own limit, and wait again, without having used an attempt. A thread that cannot be stopped
   keeps its row until the process has ended.
5. If its writer ends with an error, it ends with that error, and its supervisor starts it anew.

Loop's thread only, unless a method says otherwise.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, Final, Protocol, Self, TypeVar

from inprocess.journal.model import operations as op
from inprocess.journal.model.codec import Codecs
from inprocess.journal.model.errors import JournalError
from inprocess.journal.model.job import MAX_KILLS, SECOND, NewJob, Row, now_us
from inprocess.journal.running_job import DONE, RunningJob
from inprocess.journal.task import DurableTask
from inprocess.journal.writer import WAIT_S, Writer
from inprocess.supervision.core import telemetry
from inprocess.supervision.core.clock import Clock, Timer, settle
from inprocess.supervision.core.errors import Refused, StartError
from inprocess.supervision.core.exits import SHUTDOWN, Exit
from inprocess.supervision.core.log import log
from inprocess.supervision.core.process import BaseProcess, Held, Process, ShutdownLimit
from inprocess.supervision.core.redact import text_of
from inprocess.supervision.core.telemetry import attached
from inprocess.supervision.tasks.child import Child
from inprocess.supervision.tasks.task_supervisor import TaskSupervisor

#: Jobs that a process runs at once.
CONCURRENCY: Final = 100
#: Seconds between two looks for dead holders, and for work in case a signal was lost.
BEAT_S: Final = 1.0
#: Seconds between two rounds of upkeep: parking, and releasing what was parked.
UPKEEP_S: Final = 30.0
#: Seconds for which a due job whose function nobody knows waits before it is parked.
UNKNOWN_S: Final = 60.0
#: Seconds that the end waits, after the last job, for a database that takes no writes.
END_S: Final = WAIT_S
#: Seconds between two prunings, and rows that one transaction deletes at most.
PRUNE_S: Final = 60.0
PRUNED: Final = 500
#: Seconds by which the wall clock must fall behind to count as set back.
SET_BACK_S: Final = 1.0

T = TypeVar("T")


class Home(Protocol):
    """What a runner needs of its journal."""

    @property
    def name(self) -> str:
        """For logs."""

    @property
    def codecs(self) -> Codecs:
        """What reads the arguments."""

    @property
    def queues(self) -> tuple[str, ...] | None:
        """The queues whose jobs it runs; None for all."""

    @property
    def history_s(self) -> float:
        """Seconds for which done jobs are kept."""

    @property
    def dead_s(self) -> float:
        """Seconds for which dead jobs are kept."""

    def known_tasks(self) -> dict[str, DurableTask[Any, Any]]:
        """The tasks that it can run, by name."""

    def changes(self) -> int:
        """A number that changes whenever `known_tasks` does."""

    def writer(self) -> Writer:
        """Its writer, started."""

    def ended(self, runner: Runner, /) -> None:
        """The runner has ended, and needs the writer no more."""


class Slots:
    """Counts the jobs that may still begin. Any thread."""

    def __init__(self, count: int) -> None:
        self.free = count
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Take one; return whether one was free."""
        with self._lock:
            if self.free <= 0:
                return False
            self.free -= 1
            return True

    def take_all(self) -> int:
        """Take all that are free; return how many."""
        with self._lock:
            taken, self.free = self.free, 0
            return taken

    def give(self, count: int = 1) -> None:
        """Give so many back."""
        with self._lock:
            self.free += count


class Runner(BaseProcess):
    """See the module. Created by `Journal.start`."""

    shutdown_limit: ClassVar[ShutdownLimit] = "infinity"  # bounded by the jobs' own limits, see `stop`

    @classmethod
    def start(cls, home: Home, *, concurrency: int, name: str | None, clock: Clock | None) -> Self:
        """Begin on the running loop and return at once; `ready` waits until it is registered."""
        runner = cls()
        runner._begin(home, concurrency, name, clock)
        return runner

    def _begin(self, home: Home, concurrency: int, name: str | None, clock: Clock | None) -> None:
        self._bind(name, clock)
        self._home = home
        #: The number of this holder in the journal; None before it is registered.
        self.holder: int | None = None
        self.slots = Slots(concurrency)
        self._concurrency = concurrency
        #: Whether nothing that is due waits, as far as this process knows.
        self.is_clear = False
        self._running: dict[int, RunningJob] = {}
        self._finished: list[RunningJob] = []
        #: Those of them that run on, until the commit.
        self._finishing: set[RunningJob] = set()
        self._written: list[tuple[op.AnyOperation, Callable[[Any], object]]] = []
        self._in_flight = self._suspects = self._left = 0
        self._is_quiet = self._is_stopping = self._is_closed = self._is_in_doubt = False
        self._claiming = self._again = self._is_awake = self._runs_on = False
        self._known_changes = -1
        self._functions: tuple[str, ...] = ()
        self._known: dict[str, DurableTask[Any, Any]] = {}
        self._timers: dict[str, Timer] = {}
        self._due_at = 0
        self._wall_ahead = time.time() - time.monotonic()
        self._ready: asyncio.Future[None] = self.loop.create_future()
        self._start_error: BaseException | None = None
        self._idle: list[asyncio.Future[None]] = []
        #: The supervisor of the running jobs.
        self.tasks = TaskSupervisor.start(clock=clock)
        self.tasks.parent = self
        self.scheduler.supervisors.add(self)
        self._writer = home.writer()
        self._listener = _FromThread(self)
        self._writer.listeners += (self._listener,)
        known = self._learn()
        self._submit(op.Register(known, now_us()), self._registered)

    # As a process.

    async def ready(self) -> None:
        """Wait until it is registered; raise StartError if that failed."""
        if not self._ready.done():
            await asyncio.shield(self._ready)
        if self.holder is None:
            cause = self._start_error
            text = "it was stopped before it had started" if cause is None else text_of(cause)
            raise StartError(f"{self.name}: {text}") from cause

    def held(self) -> Sequence[Held]:
        """Return the jobs that run. None of them is lost with this process: see `RunningJob.exit`."""
        return list(self._running.values())

    def which_children(self) -> list[tuple[str, Process]]:
        """Return the supervisor of the running jobs, for the observer."""
        return [("jobs", self.tasks)]

    def quiet(self) -> None:
        """Claim nothing more; give back what has not begun."""
        self._is_quiet = True
        self.is_clear = False
        for child in self.tasks.children():
            if child.state == "waiting":
                child.ask()

    async def idle(self) -> None:
        """Wait until no job runs and what became of all is written."""
        while self._running or self._in_flight:
            idle = self.loop.create_future()
            self._idle.append(idle)
            await idle

    def shutdown(self) -> None:
        """Cancel what runs, give it back, leave the holders, end with reason shutdown."""
        self._stop(brutally=False)

    def kill(self) -> None:
        """As `shutdown`, without the jobs' limits."""
        self._stop(brutally=True)

    def child_ended(self, _process: BaseProcess, _ended: Exit, /) -> None:
        """Handle the end of the jobs' supervisor."""
        if not self._is_stopping:
            self._crash(JournalError(f"{self.name}: the supervisor of its jobs has ended"))
        self._jobs_have_ended()
        self._wake()

    # For its journal.

    def knows(self, job: NewJob) -> bool:
        """Whether it runs this kind of job. Any thread."""
        return job.fn in self._known

    def takes(self, job: NewJob) -> bool:
        """Whether to claim a new job as it is written; then a slot is taken for it. Any thread."""
        if not self.is_clear or job.due > job.created or job.fn not in self._known:
            return False
        queues = self._home.queues
        return (queues is None or job.queue in queues) and self.slots.take()

    def claimed(self, row: Row | None) -> None:
        """Run what was claimed as it was written; None if it was not written after all."""
        if row is None:
            self.slots.give()
            self.look()
        else:
            self._start_job(row)

    def look(self) -> None:
        """Look for work in the loop's next turn."""
        self.is_clear = False
        self._again = True
        self._wake()

    def finish(self, job: RunningJob) -> concurrent.futures.Future[bool]:
        """Write that a job is done, though its run goes on: from the commit on it never runs again.

        The future has whether its row was this process's still. It fails with what ends the runner.
        """
        job.outcome = DONE
        job.written = concurrent.futures.Future()
        self._finished.append(job)
        self._finishing.add(job)
        self._wake()
        return job.written

    def in_doubt(self) -> None:
        """Compare with the store what this process runs, after a commit whose rows may be there."""
        self._is_in_doubt = True
        self.look()

    def writer_failed(self, error: BaseException) -> None:
        """End: nothing can be written any more."""
        self._crash(error)

    # Work.

    def _wake(self) -> None:
        if not self._is_awake:
            self._is_awake = True
            self.scheduler.soon(self._step)

    def _step(self) -> None:
        """Write what became of jobs, and claim more, in one go."""
        self._is_awake = False
        if self.exit is not None:
            return
        now = now_us()
        finished, self._finished = self._finished, []
        if finished:
            jobs = [(job.row.n, job.row.token) for job in finished]
            finish = op.Finish(jobs, now, keep=self._home.history_s > 0)
            self._submit(finish, partial(self._were_finished, finished))
        written, self._written = self._written, []
        for operation, answered in written:
            self._submit(operation, answered)
        if self._is_closed:
            self._leave_when_written()
        elif self.holder is not None and self._may_begin():
            self._claim(now)
        if not self._running and not self._in_flight:
            idle, self._idle = self._idle, []
            for waiting in idle:
                settle(waiting)

    def _may_begin(self) -> bool:
        """Whether jobs may begin: not while it ends, nor while its loop is being closed."""
        return not (self._is_quiet or self._is_stopping or self.scheduler.is_closing())

    def _claim(self, now: int) -> None:
        if self._is_in_doubt:
            if not self._in_flight and self.slots.free + len(self._running) == self._concurrency:
                self._submit(op.Recover(self._holder, list(self._running), now), self._recovered)
            return
        if self._known_changes != self._home.changes():
            self._learn_and_tell()
        if self._claiming or not self._again or not self._functions:
            return
        room = self.slots.take_all()
        if not room:
            return
        self._claiming, self._again = True, False
        operation = op.Claim(
            self._holder, self._functions, self._home.queues, room, int(not self._suspects), now
        )
        self._submit(operation, partial(self._were_claimed, room))

    def _were_claimed(self, room: int, claimed: op.Claimed) -> None:
        self._claiming = False
        self.slots.give(room - len(claimed.rows))
        for row in claimed.rows:
            self._start_job(row)
        if claimed.more:
            self._again = True
        elif not self._again:
            self.is_clear = not self._is_quiet
        self._set_due(claimed.next_due)

    def _start_job(self, row: Row) -> None:
        task = self._known.get(row.fn)
        if task is None or not self._may_begin():
            self.slots.give()
            self._write(op.GiveBack([(row.n, row.token)], now_us()), self._were_given_back)
            return
        is_suspect = row.kills >= MAX_KILLS - 1
        job = RunningJob(row, task, self._home.codecs, is_suspect=is_suspect, finish=self.finish)
        self._suspects += is_suspect
        self._running[row.n] = job
        child = self.tasks.take(job.run, (), task.child_options, Child)
        if isinstance(child, Refused):
            self._has_ended(job, SHUTDOWN)
            return
        job.child = child
        if attached:
            _tell("start", job)
        child.monitor(partial(self._has_ended, job))

    def _has_ended(self, job: RunningJob, ended: Exit) -> None:
        row = job.row
        self._running.pop(row.n, None)
        self.slots.give()
        self._suspects -= job.is_suspect
        self._again |= job.is_suspect or not self.is_clear
        child = job.child
        if child is not None and child.state == "abandoned":
            self._runs_on = True
        else:
            self._settle(job, ended)
        self._wake()

    def _settle(self, job: RunningJob, ended: Exit) -> None:
        """Write what became of a job."""
        row, outcome = job.row, job.outcome
        if (
            outcome is None
            and ended.kind == "crash"
            and not self._is_stopping
            and not self.scheduler.is_closing()
        ):
            job.fail(ended.error or RuntimeError("it was cancelled"))
            outcome = job.outcome
        if outcome is None:
            self._left += 1
            self._write(op.GiveBack([(row.n, row.token)], now_us()), self._were_given_back)
            job.settled()
        elif outcome == DONE:
            if job.written is None:
                self._finished.append(job)
            if attached:
                _tell("stop", job)
        elif isinstance(outcome, op.Fail):
            self._note_failure(job, outcome)
            self._write(outcome, partial(self._was_written, job))
        elif isinstance(outcome, op.Park):
            log.error("%s: %s is parked: %s", self.name, job.name, outcome.reason)
            self._write(outcome, partial(self._was_written, job))

    def _note_failure(self, job: RunningJob, outcome: op.Fail) -> None:
        row = job.row
        if attached:
            _tell("exception", job, error=job.error)
        if outcome.due is None:
            if attached:
                _tell("dead", job, error=job.error)
            log.error(
                "%s: %s failed in attempt %d of %d and is dead: %s",
                self.name, job.describe(), row.attempt, row.max_attempts, outcome.error, exc_info=job.error,
            )  # fmt: skip
            return
        log.warning(
            "%s: %s failed in attempt %d of %d, again in %.3g s: %s",
            self.name, job.describe(), row.attempt, row.max_attempts, (outcome.due - outcome.now) / SECOND,
            outcome.error,
        )  # fmt: skip
        self._set_due(outcome.due)

    # Answers of the writer.

    def _were_finished(self, jobs: Sequence[RunningJob], fenced: list[int]) -> None:
        for job in jobs:
            job.settled()
            if job.written is not None:
                self._finishing.discard(job)
                job.written.set_result(job.row.n not in fenced)
        for n in fenced:
            self._note_fenced(next(job for job in jobs if job.row.n == n).name)

    def _was_written(self, job: RunningJob, is_fenced: bool) -> None:  # noqa: FBT001 - an answer
        job.settled()
        if is_fenced:
            self._note_fenced(job.name)

    def _were_given_back(self, fenced: list[int]) -> None:
        for n in fenced:
            self._note_fenced(f"job {n}")

    def _note_fenced(self, name: str) -> None:
        log.warning(
            "%s: %s was taken over meanwhile, since this process was taken for dead: it runs twice",
            self.name,
            name,
        )

    def _recovered(self, count: int) -> None:
        self._is_in_doubt = False
        if count:
            log.warning("%s: %d jobs of a commit in doubt wait again", self.name, count)
        self.look()

    # Holders and upkeep.

    @property
    def _holder(self) -> int:
        assert self.holder is not None  # noqa: S101 - it is registered
        return self.holder

    def _registered(self, holder: int) -> None:
        self.holder = holder
        settle(self._ready)
        if self._is_stopping:
            self._wake()
            return
        self._submit(op.PutRight(now_us()), _ignore)
        self._beat()
        self._upkeep()
        self._every("prune", PRUNE_S, self._prune)
        self.look()

    def _beat(self) -> None:
        self._every("beat", BEAT_S, self._beat)
        self._watch_clock()
        self._submit(op.Beats(self._holder), self._has_beaten)
        self.look()

    def _has_beaten(self, beat: op.Beat) -> None:
        if not beat.may_write and not self._is_quiet:
            log.error(
                "%s: newer code has closed the journal to this one: nothing more is begun here", self.name
            )
            self.quiet()
        for dead in beat.dead:
            self._submit(op.Reap(dead, now_us()), partial(self._has_reaped, dead))

    def _has_reaped(self, holder: int, reaped: op.Reaped) -> None:
        if reaped.waiting or reaped.dead:
            log.warning(
                "%s: holder %d has died; of its jobs %d run again and %d are dead",
                self.name, holder, reaped.waiting, len(reaped.dead),
            )  # fmt: skip
        for row in reaped.dead:
            log.error(
                "%s: %s[%s] is dead: %s; run it again by `queue-or-task journal retry %s`",
                self.name, row.fn, row.id, row.error, row.id,
            )  # fmt: skip
            if attached:
                telemetry.execute(("journal", "dead"), {"kills": row.kills}, {"task": row.fn, "id": row.id})
        self.look()

    def _upkeep(self) -> None:
        self._every("upkeep", UPKEEP_S, self._upkeep)
        before = now_us() - round(UNKNOWN_S * SECOND)
        self._submit(op.ParkUnknown(before), self._have_parked)
        self._submit(op.Unpark(self._fingerprints()), self._have_unparked)

    def _have_parked(self, count: int) -> None:
        if count:
            log.error(
                "%s: %d jobs are parked, because no process knows their functions: look with "
                "`queue-or-task journal parked`", self.name, count,
            )  # fmt: skip

    def _have_unparked(self, count: int) -> None:
        if count:
            log.info("%s: %d parked jobs are tried again by the code that is here now", self.name, count)
            self.look()

    def _prune(self) -> None:
        self._every("prune", PRUNE_S, self._prune)
        now = now_us()
        done, dead = (now - round(seconds * SECOND) for seconds in (self._home.history_s, self._home.dead_s))
        self._submit(op.Prune(done, dead, PRUNED), self._have_pruned)
        self._submit(op.PruneResults(now, PRUNED), self._have_pruned)

    def _have_pruned(self, count: int) -> None:
        if count >= PRUNED:
            self._prune()

    def _watch_clock(self) -> None:
        """See whether the wall clock was set back: then what is due at once is made due now."""
        ahead = time.time() - time.monotonic()
        if ahead < self._wall_ahead - SET_BACK_S:
            log.warning("%s: the clock was set back by %.0f s", self.name, self._wall_ahead - ahead)
            self._submit(op.PutRight(now_us()), _ignore)
        self._wall_ahead = ahead

    def _learn(self) -> dict[str, str]:
        self._known_changes = self._home.changes()
        self._known = self._home.known_tasks()
        self._functions = tuple(sorted(self._known))
        return self._fingerprints()

    def _fingerprints(self) -> dict[str, str]:
        return {name: task.fingerprint for name, task in self._known.items()}

    def _learn_and_tell(self) -> None:
        known = self._learn()
        self._submit(op.SetFunctions(self._holder, known), _ignore)
        self._submit(op.Unpark(known), self._have_unparked)

    # Timers.

    def _every(self, name: str, seconds: float, act: Callable[[], object]) -> None:
        before = self._timers.pop(name, None)
        if before is not None:
            before.cancel()
        if not self._is_stopping and self.exit is None:
            self._timers[name] = self.scheduler.call_later(seconds, act)

    def _set_due(self, due: int | None) -> None:
        """Look for work when the next job is due, unless that is looked for earlier."""
        if due is None or (0 < self._due_at <= due):
            return
        self._due_at = due
        self._every("due", max(0.0, (due - now_us()) / SECOND), self._is_due)

    def _is_due(self) -> None:
        self._due_at = 0
        self.look()

    # The end.

    def _stop(self, *, brutally: bool) -> None:
        self.quiet()
        self._is_stopping = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        if self.tasks.exit is not None:
            self._jobs_have_ended()
        elif brutally:
            self.tasks.kill()
        else:
            self.tasks.shutdown()
        self._wake()

    def _jobs_have_ended(self) -> None:
        self._is_closed = True
        if self.exit is None and "end" not in self._timers:
            self._timers["end"] = self.scheduler.call_later(END_S, self._abandon)

    def _abandon(self) -> None:
        """End without the last writes, as a kill would: others run again the jobs that they were about."""
        log.error(
            "%s ends after %g s in which its database took no writes: jobs that it could not mark run again",
            self.name, END_S,
        )  # fmt: skip
        self.forsake()
        self._close(SHUTDOWN)

    def _leave_when_written(self) -> None:
        """End, once all children have ended and all is written."""
        if self._in_flight or self._finished or self._written:
            return
        if self.holder is None:
            self._close(SHUTDOWN)
            return
        if self._left:
            log.info("%s: left for the next start: %d jobs that ran", self.name, self._left)
        taken = self.slots.take_all()  # so that no thread claims in this name from now on
        if taken < self._concurrency:  # an enqueue is being claimed: it will be given back
            self.slots.give(taken)
            return
        leave = op.Leave(self.holder, runs=self._runs_on)
        self._submit(leave, lambda _: self._close(SHUTDOWN))

    def _crash(self, error: BaseException) -> None:
        if self.exit is not None:
            return
        self._start_error = error
        if self.holder is not None:
            log.error("%s ends: %s", self.name, text_of(error))
        self._is_stopping = self._is_quiet = True
        self.tasks.monitor(lambda _: self.forsake())
        if self.tasks.exit is None:
            self.tasks.kill()
        self._close(Exit("crash", error))

    def forsake(self) -> None:
        """Let others run what this one can no longer write of, unless a thread still runs it. Any thread."""
        if self.holder is not None and not self._runs_on:
            self._writer.store.forsake(self.holder)

    def _close(self, ended: Exit) -> None:
        if self.exit is not None:
            return
        for timer in self._timers.values():
            timer.cancel()
        self._writer.listeners = tuple(each for each in self._writer.listeners if each is not self._listener)
        self._home.ended(self)
        for job in self._finishing:
            if job.written is not None:
                job.written.set_exception(ended.error or JournalError(f"{self.name} has ended"))
        settle(self._ready)
        self._end(ended)
        for waiting in self._idle:
            settle(waiting)

    # The writer.

    def _write(self, operation: op.Operation[T], answered: Callable[[T], object]) -> None:
        """Submit with the next step, in one commit with others."""
        self._written.append((operation, answered))
        self._wake()

    def _submit(self, operation: op.Operation[T], answered: Callable[[T], object]) -> None:
        if self._writer.submit(operation, self.loop, partial(self._answered, answered)):
            self._in_flight += 1
        else:
            self._crash(self._writer.error or JournalError(f"{self.name}: its writer has ended"))

    def _answered(self, answered: Callable[[Any], object], result: Any, error: BaseException | None) -> None:
        self._in_flight -= 1
        if error is not None:
            self._crash(error)
        elif self.exit is None:
            answered(result)
            self._wake()


class _FromThread:
    """Passes on to a runner, on its loop, what its writer tells on the writer's thread."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner

    def changed(self) -> None:
        """See `writer.Listener`."""
        self._call(self.runner.look)

    def in_doubt(self) -> None:
        """See `writer.Listener`."""
        self._call(self.runner.in_doubt)

    def failed(self, error: BaseException) -> None:
        """See `writer.Listener`."""
        self._call(partial(self.runner.writer_failed, error))

    def _call(self, function: Callable[[], object]) -> None:
        try:
            self.runner.loop.call_soon_threadsafe(function)
        except RuntimeError:  # its loop is closed
            return


def _ignore(_answer: object) -> None:
    """For operations whose answer does not matter."""


def _tell(event: str, job: RunningJob, **more: Any) -> None:
    row = job.row
    metadata = {"id": row.id, "task": row.fn, "attempt": row.attempt, "queue": row.queue, **more}
    telemetry.execute(("journal", event), {"monotonic_time": time.monotonic()}, metadata)
