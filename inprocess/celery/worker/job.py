"""Job: one run of one task, as a child of the pool's TaskSupervisor.

Where it runs:
- a plain task in a thread;
- a coroutine task, and one with `isolation = "process"`, on the loop, over the greenlet bridge.

How it ends:
1. Celery's tracer returns, with a result, an error or a retry, which are Celery's to handle.
2. It crashes: the task called `sys.exit`, or its process died. With `restart = "transient"` on the task the
   supervisor restarts it within OTP's window, one window for each run of a task. Otherwise, or beyond that
   window, Celery is told that the worker was lost, as with a pool of processes.
3. Its hard time limit is over, or it is terminated: it is asked to end, and abandoned and reported if it
   does not.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any, Final, Protocol

from billiard.einfo import ExceptionInfo
from celery.exceptions import SoftTimeLimitExceeded, WorkerLostError

from inprocess.celery.celery_internals.join_flag import begin_task
from inprocess.celery.celery_internals.request_identity import begin_coroutine_task, begin_thread_task
from inprocess.celery.worker.thread_interrupt import Interruptible, Stopped
from inprocess.supervision.core.exits import Exit
from inprocess.supervision.core.scheduler import Scheduler
from inprocess.supervision.tasks.child import Child

#: Seconds that a task has to end after its hard limit, or after it is terminated.
END_S: Final = 0.5
#: Stands for an outcome that is not there.
_NONE: Final = object()
#: Characters of the arguments that reports show.
SHOWN: Final = 200


class JobChild(Child):
    """A child that reports show by its task, not by the function that runs it."""

    __slots__ = ("job",)

    job: Job

    @property
    def name(self) -> str:
        """`task[id]`."""
        return f"{self.job.task}[{self.job.id}]"

    def describe(self) -> str:
        """`task[id]: task(arguments)`."""
        return f"{self.name}: {described(self.job.request)}"


class JobSupervisor(Protocol):
    """The supervisor of a job."""

    @property
    def scheduler(self) -> Scheduler:
        """The scheduler of time limits."""


class JobHost(Protocol):
    """What a job needs of its pool."""

    @property
    def app(self) -> Any:
        """The Celery app."""

    @property
    def supervisor(self) -> JobSupervisor:
        """The supervisor of the job."""

    def end(self, child: JobChild, /) -> None:
        """End a child, within END_S."""

    def aftermath(self, report: Callable[[], object], /) -> None:
        """Run a report to Celery in a thread."""

    def written(self, tag: int, /) -> Future[bool] | None:
        """Return what has whether the job may begin, None where it may at once."""

    def on_loop(self, function: Callable[[], object], /) -> None:
        """Call a function on the loop's thread, soon."""


class JobId(int):
    """A process id, by which Celery tells jobs apart, with a reference to its job."""

    job: Job


class Job:
    """See the module. `on` are the callbacks of Celery's request."""

    __slots__ = (
        "_accepted",
        "_interruptible",
        "_timers",
        "_tracer_run",
        "call",
        "child",
        "id",
        "on",
        "over",
        "pool",
        "request",
        "tag",
        "task",
    )

    def __init__(self, pool: JobHost, call: Callable[[], Any], args: Any, on: dict[str, Any]) -> None:
        self.pool = pool
        self.call = call
        self.task: str = args[0]
        self.id: str = args[1]
        self.request: dict[str, Any] = args[2]
        self.on = on
        self.over = False
        #: The delivery that it runs for; 0 for what is no message.
        self.tag = 0
        self.child: JobChild | None = None
        self._accepted = False
        self._interruptible = Interruptible(pool.app.tasks.get(self.task))
        self._tracer_run: Any = None
        self._timers: list[Any] = []

    def run_in_thread(self) -> None:
        """Run the tracer in this thread. Called by the pool's supervisor."""
        begin_thread_task()
        begin_task()
        self.pool.app.set_current()
        outcome: Any = _NONE
        try:
            with self._interruptible:
                self._accept()
                written = self.pool.written(self.tag)
                if written is not None and not self._may_begin(written.result()):
                    return
                outcome = self.call()
        except (Stopped, SoftTimeLimitExceeded) as error:
            if outcome is _NONE and isinstance(error, Stopped):
                return
            if outcome is _NONE:
                raise
        self._succeed(outcome)

    async def run_on_loop(self) -> None:
        """Run the tracer in a greenlet. Called by the pool's supervisor."""
        from inprocess.celery.worker.greenlet_bridge import TracerRun  # late: plain tasks need no greenlet

        begin_coroutine_task()
        begin_task()
        self.pool.app.set_current()
        self._accept()
        written = self.pool.written(self.tag)
        if written is not None and not self._may_begin(await asyncio.wrap_future(written)):
            return
        self._tracer_run = TracerRun()
        self._succeed(await self._tracer_run.run(self.call))

    def end(self) -> None:
        """End it: interrupt it, and abandon it if that does not help. Loop's thread only."""
        self.over = True
        self._disarm()
        self._interruptible.interrupt(Stopped)
        if self.child is not None:
            self.pool.end(self.child)

    def ended(self, ended: Exit) -> None:
        """Handle the end of the child for good. Loop's thread only."""
        self._disarm()
        if ended.kind == "crash" and not self.over:
            self.over = True
            self.pool.aftermath(partial(self._tell, "error_callback", lost(ended.error)))

    def _may_begin(self, is_ours: bool) -> bool:  # noqa: FBT001 - an answer
        """Whether it may begin, its acknowledgement being on disk: not where another process runs it."""
        self.over |= not is_ours
        return is_ours

    def _accept(self) -> None:
        if self._accepted:
            return
        self._accepted = True
        pid = JobId(os.getpid())
        pid.job = self
        self._tell("accept_callback", pid, time.monotonic())
        soft, hard = self.on.get("soft_timeout"), self.on.get("timeout")
        if soft or hard:
            self.pool.on_loop(partial(self._arm, soft, hard))

    def _succeed(self, outcome: Any) -> None:
        if not self.over:
            self.over = True
            self._tell("callback", outcome)

    def _tell(self, callback: str, *args: Any) -> None:
        """Call one of Celery's callbacks; a function that is no task may have none."""
        call = self.on.get(callback)
        if call is not None:
            call(*args)

    def _arm(self, soft: float | None, hard: float | None) -> None:
        if self.over:
            return
        later = self.pool.supervisor.scheduler.call_later
        self._timers = [
            later(seconds, partial(act, seconds))
            for seconds, act in ((soft, self._soft_limit), (hard, self._hard_limit))
            if seconds
        ]

    def _disarm(self) -> None:
        for timer in self._timers:
            timer.cancel()

    def _soft_limit(self, seconds: float) -> None:
        if self.over:
            return
        if self._tracer_run is not None:
            self._tracer_run.interrupt()
        elif not self._interruptible.interrupt(SoftTimeLimitExceeded):  # its function has ended
            return
        self._tell("timeout_callback", True, seconds)

    def _hard_limit(self, seconds: float) -> None:
        if self.over:
            return
        self.end()
        self.pool.aftermath(partial(self._tell, "timeout_callback", False, seconds))


def described(headers: Mapping[str, Any]) -> str:
    """Return the call as reports show it, with Celery's text of the arguments, truncated."""
    args, kwargs = headers.get("argsrepr") or "()", headers.get("kwargsrepr") or "{}"
    text = f"{headers.get('task')} args={args[:SHOWN]}"
    return text if kwargs == "{}" else f"{text} kwargs={kwargs[:SHOWN]}"


def lost(error: BaseException | None) -> ExceptionInfo:
    """Return what Celery's requests expect of a lost worker."""
    try:
        raise WorkerLostError(f"Worker exited prematurely: {error}")  # noqa: TRY301 - to have a traceback
    except WorkerLostError:
        return ExceptionInfo()
