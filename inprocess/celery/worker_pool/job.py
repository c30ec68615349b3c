"""PoolJob: one run of one task in the pool.

A coroutine task:
1. The worker's thread accepts it and runs Celery's tracer in a greenlet, until the tracer calls the task.
2. The coroutine goes to the loop's thread, in the greenlet's context, so `self.request` is right after each
   `await`. The greenlet sleeps.
3. The coroutine's result or error comes back to the worker's thread, where the tracer goes on: results,
   retries, callbacks, signals and the acknowledgement.
A plain task runs in a thread with its tracer; its end is reported on the worker's thread.

Limits and ends are judged on the loop's thread. At the soft limit the coroutine gets SoftTimeLimitExceeded
where it waits. At the hard limit, or when it is terminated, it is cancelled, and abandoned END_S later.
A coroutine that blocks the loop, or a thread that waits in C, cannot be ended.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import Any, Protocol

from celery.exceptions import SoftTimeLimitExceeded
from greenlet import GreenletExit  # type: ignore[import-untyped]  # as it says

from inprocess.celery.celery_internals.request_identity import begin_coroutine_task
from inprocess.celery.worker.greenlet_bridge import CoroutineDriver, SoftLimit, TracerGreenlet
from inprocess.celery.worker.job import END_S, lost
from inprocess.celery.worker.thread_interrupt import Interruptible, Stopped
from inprocess.celery.worker_pool.loop_thread import LoopThread


class PoolJobHost(Protocol):
    """What a job needs of its pool."""

    @property
    def threads(self) -> LoopThread:
        """The loop's thread and the way back."""

    def ended(self, job: PoolJob, /) -> None:
        """Give the job's slot to the next one. Worker's thread."""


class PoolJobId(int):
    """A process id, by which Celery tells jobs apart, with a reference to its job."""

    job: PoolJob


class PoolJob:
    """See the module. `on` are the callbacks of Celery's request; `name` shows in logs."""

    def __init__(self, pool: PoolJobHost, name: str, call: Callable[[], Any], on: dict[str, Any]) -> None:
        self.name = name
        self._pool = pool
        self._call = call
        self._on = on
        self._greenlet: Any = None
        #: No outcome counts any more: it has been reported, or the job was terminated.
        self._is_over = False
        #: Its slot has been given back.
        self._has_left = False
        self._has_limits = False
        self._soft: SoftLimit | None = None
        self._task: asyncio.Task[Any] | None = None
        self._interruptible: Interruptible | None = None
        self._timers: list[asyncio.TimerHandle] = []

    def run_coroutine(self) -> None:
        """Accept the job and run its tracer up to the task's first step. Worker's thread."""
        self._accept()
        if self._is_over:
            return
        context = copy_context()
        context.run(begin_coroutine_task)
        self._greenlet = TracerGreenlet(self._call)
        self._greenlet.gr_context = context
        self._go_on(self._greenlet.switch)

    def run_in_thread(self, submit: Callable[[Callable[[], None]], object]) -> None:
        """Accept the job and hand it to a thread. Worker's thread."""
        self._interruptible = Interruptible()
        self._accept()
        if not self._is_over:
            submit(partial(self._in_thread, self._interruptible))

    def end(self) -> None:
        """End it: cancel it, and abandon it if that does not help. Worker's thread."""
        self._is_over = True
        self._pool.threads.on_loop(self._cancel)

    def _accept(self) -> None:
        pid = PoolJobId(os.getpid())
        pid.job = self
        accepted = self._on.get("accept_callback")
        if accepted is not None:
            accepted(pid, time.monotonic())
        soft, hard = self._on.get("soft_timeout"), self._on.get("timeout")
        self._has_limits = bool(soft or hard)
        if soft:
            self._soft = SoftLimit()
        if self._has_limits and not self._is_over:
            self._pool.threads.on_loop(partial(self._arm, soft, hard))

    # On the worker's thread.

    def _go_on(self, resume: Callable[[], Any]) -> None:
        """Run the tracer until it ends or awaits its coroutine."""
        try:
            yielded = resume()
        except BaseException as error:  # noqa: BLE001 - a tracer that raises is a lost worker to Celery
            self._crashed(error)
            return
        if self._greenlet.dead:
            self._succeeded(yielded)
        else:
            self._pool.threads.on_loop(partial(self._start, yielded))

    def _resume(self, value: Any, *, failed: bool) -> None:
        if self._has_left:
            return
        self._greenlet.awaits_coroutine = False
        if self._is_over:
            self._drop()
        elif failed:
            self._go_on(partial(self._greenlet.throw, type(value), value, value.__traceback__))
        else:
            self._go_on(partial(self._greenlet.switch, value))

    def _succeeded(self, outcome: Any) -> None:
        self._leave(partial(self._on["callback"], outcome))

    def _crashed(self, error: BaseException) -> None:
        self._leave(partial(self._on["error_callback"], lost(error)))

    def _leave(self, report: Callable[[], object]) -> None:
        """Report the outcome, unless it counts no more, and give the slot back."""
        if self._has_left:
            return
        self._has_left = True
        if self._has_limits:
            self._pool.threads.on_loop(self._disarm)
        is_over, self._is_over = self._is_over, True
        try:
            if not is_over:
                report()
        finally:
            self._on, self._call, self._greenlet = {}, _nothing, None  # ends a circle with Celery's request
            self._pool.ended(self)

    def _drop(self) -> None:
        """Unwind the tracer of a job that no longer counts, and give the slot back."""
        if self._has_left:
            return
        if self._greenlet is not None and not self._greenlet.dead:
            with suppress(BaseException):  # its outcome has been reported
                self._greenlet.throw(GreenletExit)
        self._leave(_nothing)

    def _report_hard_limit(self, seconds: float) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._on["timeout_callback"](False, seconds)

    def _report_soft_limit(self, seconds: float) -> None:
        if not self._is_over:
            self._on["timeout_callback"](True, seconds)

    # In a thread of plain tasks.

    def _in_thread(self, interruptible: Interruptible) -> None:
        try:
            with interruptible:
                outcome = self._call()
        except Stopped:
            self._pool.threads.on_worker(self._drop)
        except BaseException as error:  # noqa: BLE001 - as in `_go_on`
            self._pool.threads.on_worker(partial(self._crashed, error))
        else:
            self._pool.threads.on_worker(partial(self._succeeded, outcome))

    # On the loop's thread.

    def _start(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        if self._is_over:
            coroutine.close()
            self._pool.threads.on_worker(self._drop)
            return
        self._task = self._pool.threads.create_task(
            self._drive(coroutine), self._greenlet.gr_context, self.name
        )

    async def _drive(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        try:
            if self._soft is None:
                value = await coroutine
            else:
                value = await CoroutineDriver(coroutine, self._soft.replace_error)
        except BaseException as error:  # noqa: BLE001 - the tracer's to deal with, whatever it is
            step = partial(self._resume, error, failed=True)
        else:
            step = partial(self._resume, value, failed=False)
        self._pool.threads.on_worker(step)

    def _arm(self, soft: float | None, hard: float | None) -> None:
        if self._is_over:
            return
        later = self._pool.threads.loop.call_later
        limits = ((soft, self._soft_limit), (hard, self._hard_limit))
        self._timers = [later(seconds, act, seconds) for seconds, act in limits if seconds]

    def _disarm(self) -> None:
        for timer in self._timers:
            timer.cancel()

    def _soft_limit(self, seconds: float) -> None:
        if self._is_over:
            return
        self._pool.threads.on_worker(partial(self._report_soft_limit, seconds))
        if self._task is not None and self._soft is not None:
            self._soft.reach(self._task)
        elif self._interruptible is not None:
            self._interruptible.interrupt(SoftTimeLimitExceeded)

    def _hard_limit(self, seconds: float) -> None:
        if self._is_over:
            return
        self._pool.threads.on_worker(partial(self._report_hard_limit, seconds))
        self._cancel()

    def _cancel(self) -> None:
        """Cancel the run, and abandon it in END_S."""
        self._disarm()
        if self._task is not None:
            if self._soft is not None:
                self._soft.forget()
            self._task.cancel()
        elif self._interruptible is not None:
            self._interruptible.interrupt(Stopped)
        abandon = partial(self._pool.threads.on_worker, self._drop)
        self._timers = [self._pool.threads.loop.call_later(END_S, abandon)]


def _nothing() -> None:
    """Report nothing."""
