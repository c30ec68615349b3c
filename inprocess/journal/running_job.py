"""RunningJob: one run of a job in this process, as its runner, a drain and the observer see it."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, Final

from inprocess.journal.model.codec import Codecs
from inprocess.journal.model.errors import CodecError, GiveUp, RetryAfter
from inprocess.journal.model.job import ERROR_CHARACTERS, SECOND, CurrentJob, Row, now_us
from inprocess.journal.model.operations import AnyOperation, Fail, Park
from inprocess.journal.task import DurableTask
from inprocess.supervision.core.exits import NORMAL, Exit, Shutdown, Stop
from inprocess.supervision.core.redact import redact_call, scrub, text_of
from inprocess.supervision.isolation import isolation
from inprocess.supervision.tasks.child import Child

_running: ContextVar[RunningJob] = ContextVar("inprocess.journal.running_job")
_current: ContextVar[CurrentJob] = ContextVar("inprocess.journal.current_job")

#: The outcome of a job that is done.
DONE: Final = "done"


def current_job() -> CurrentJob | None:
    """Return the job that the caller runs for, or None. Also works in a task's threads."""
    return _current.get(None)


@contextmanager
def running_as(job: CurrentJob) -> Iterator[None]:
    """Make this the current job within the block, for a function that another system runs."""
    before = _current.set(job)
    try:
        yield
    finally:
        _current.reset(before)


def running_job() -> RunningJob:
    """Return the run that the caller is part of; raise LookupError outside of one."""
    return _running.get()


class RunningJob:
    """A claimed row and the child that runs it. `outcome` is None until the run has one."""

    __slots__ = (
        "_codecs",
        "_finish",
        "child",
        "error",
        "exit",
        "is_suspect",
        "outcome",
        "row",
        "task",
        "written",
    )

    def __init__(
        self,
        row: Row,
        task: DurableTask[Any, Any],
        codecs: Codecs,
        *,
        is_suspect: bool,
        finish: Callable[[RunningJob], concurrent.futures.Future[bool]],
    ) -> None:
        self.row = row
        self.task = task
        self._codecs = codecs
        #: Whether its process has died so often that it runs alone among its kind.
        self.is_suspect = is_suspect
        self._finish = finish
        #: Whether the row was still its own, for a job that was finished before the end of its run.
        self.written: concurrent.futures.Future[bool] | None = None
        self.child: Child | None = None
        #: DONE, or the operation that writes what became of it; None if it must be given back.
        self.outcome: str | AnyOperation | None = None
        #: What it raised.
        self.error: BaseException | None = None
        #: Set once its row is out of this process's hands; then a drain has nothing to report.
        self.exit: Exit | None = None

    @property
    def name(self) -> str:
        """Task and id, for reports."""
        return f"{self.row.fn}[{self.row.id}]"

    @property
    def state(self) -> str:
        """As of its child."""
        return "waiting" if self.child is None else self.child.state

    @property
    def attempt(self) -> int:
        """Number of the attempt, from 1."""
        return self.row.attempt

    def describe(self) -> str:
        """Return the call, arguments truncated and secrets hidden, and the id."""
        try:
            args, kwargs = self._codecs.loads(self.row.codec, self.row.args)
        except CodecError:
            return self.name
        return f"{redact_call(self.task.function, args, kwargs)} [{self.row.id}]"

    def settled(self) -> None:
        """Note that its row is written, or was given back: nothing is lost with this process."""
        self.exit = NORMAL

    def finish(self) -> concurrent.futures.Future[bool]:
        """Mark it as done before the end of its run, see `Runner.finish`. Loop's thread only."""
        return self._finish(self) if self.written is None else self.written

    def runs_on(self) -> None:
        """Note that something runs on which cannot be stopped: its row is held until the process ends."""
        self._lose()

    async def run(self) -> None:
        """Run the task once and set `outcome`. Raise nothing but a cancellation, and what ends the loop."""
        row, task = self.row, self.task
        _running.set(self)
        _current.set(CurrentJob(row.id, row.fn, row.key, row.attempt, row.max_attempts, row.token))
        try:
            args, kwargs = self._codecs.loads(row.codec, row.args)
        except CodecError as error:
            self.outcome = self._park(str(error))
            return
        try:
            if task.is_on_loop:
                await self._on_loop(args, kwargs)
            else:
                await self._elsewhere(args, kwargs)
        except MisfitError as misfit:
            self.outcome = self._park(str(misfit))
        except NotBegunError:
            self.outcome = None  # to be given back
        except asyncio.CancelledError:
            raise  # asked to end, or cancelled by a stranger: the runner knows
        except (Stop, Shutdown):
            self.outcome = DONE
        except Exception as error:  # noqa: BLE001 - a failure of the task, whatever it is
            self.fail(error)
        except BaseException as error:
            self.fail(error)
            raise
        else:
            self.outcome = DONE

    def fail(self, error: BaseException) -> None:
        """Set the outcome of a run that raised this."""
        row, retry = self.row, self.task.retry
        self.error = error
        now = now_us()
        due: int | None = None
        if isinstance(error, RetryAfter):
            due = now + round(max(0.0, error.seconds) * SECOND)
        elif retry is not None and not isinstance(error, GiveUp):
            due = now + round(retry.delay(row.attempt) * SECOND)
        if row.attempt >= row.max_attempts:
            due = None
        text = scrub(f"{type(error).__qualname__}: {text_of(error)}"[:ERROR_CHARACTERS])
        self.outcome = Fail(row.n, row.token, due, text[:ERROR_CHARACTERS], now)

    async def _on_loop(self, args: list[Any], kwargs: dict[str, Any]) -> None:
        try:
            coroutine = self.task.function(*args, **kwargs)
        except TypeError as error:
            if error.__traceback__ is not None and error.__traceback__.tb_next is None:  # of the call itself
                raise MisfitError(f"{self.row.fn} has changed: {error}") from error
            raise
        await coroutine

    async def _elsewhere(self, args: list[Any], kwargs: dict[str, Any]) -> None:
        task = self.task
        try:
            task.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise MisfitError(f"{self.row.fn}{task.signature} has changed: {error}") from error
        # Between processes the task goes by its name: that of its function names the task, not the function.
        function = task if task.isolation == "process" else task.function
        await isolation.run(
            partial(function, *args, **kwargs), (), task.isolation, name=self.name,
            attempt=self.row.attempt, shutdown=task.shutdown, lost=self._lose,
        )  # fmt: skip

    def _lose(self) -> None:
        if self.child is not None:
            self.child.ensure_history().abandoned = True

    def _park(self, reason: str) -> Park:
        return Park(self.row.n, self.row.token, scrub(reason)[:ERROR_CHARACTERS], self.task.fingerprint)


class MisfitError(Exception):
    """The code here cannot run the row: its function does not take the arguments. The text says why."""


class NotBegunError(Exception):
    """The run has not begun its work: the job waits again, without having used an attempt."""
