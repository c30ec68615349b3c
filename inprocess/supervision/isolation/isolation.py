"""Isolation: where an attempt of a child's function runs.

- "loop": on the event loop. An async function is awaited; a plain one blocks the loop while it runs.
- "thread": on a daemon thread, at most THREADS at once, in the child's context variables. An async
  function gets a loop of its own. Python cannot stop a thread; the function may check
  `stop_requested()`. If it has not ended at the child's limit, it is abandoned and reported by name,
  and nothing waits for it; the interpreter's exit waits no longer than EXIT_WAIT_S.
- "process": in a worker process, at most PROCESSES at once, see `worker_process`. The request to end
  is SIGTERM, which raises SystemExit in the function; the kill at the child's limit is SIGKILL.
- None: "loop" for an async function, "thread" for a plain one.

Work that finds no free thread or process waits for one, in order of arrival. OTP needs none of this: its
scheduler preempts busy work, and a process there can be killed.

On the loop and in a thread the function runs inside of the hooks that apply, see `around`.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext, suppress
from contextvars import ContextVar
from functools import cache, partial
from pathlib import Path
from types import BuiltinMethodType
from typing import Any, Final, Literal, Protocol, TypeVar, cast

from inprocess.supervision.core.clock import settle
from inprocess.supervision.core.errors import WorkerDiedError
from inprocess.supervision.core.log import log
from inprocess.supervision.core.process import KILL_WAIT_S, SHUTDOWN_S, ShutdownLimit
from inprocess.supervision.core.redact import function_name, redact, repr_of
from inprocess.supervision.core.thread_bridge import is_async
from inprocess.supervision.isolation.around import (
    Around,
    entered,
    entered_async,
    tell_of_borrowed_session,
    tell_of_open_connections,
)
from inprocess.supervision.isolation.worker_threads import DaemonThreadPool, Job

Isolation = Literal["loop", "thread", "process"]

#: Functions that run in threads at once.
THREADS = 32
#: Functions that run in processes at once: one a core.
PROCESSES = os.cpu_count() or 1
#: Seconds that an idle thread is kept.
THREAD_IDLE_S = 10.0
#: Seconds that an idle process is kept.
PROCESS_IDLE_S = 60.0
#: Seconds that the interpreter's exit waits for functions that are still running in threads.
EXIT_WAIT_S = 5.0
#: Seconds that a killed process has to end; only one that hangs in the kernel takes longer.
REAP_S = 5.0

T = TypeVar("T")

_NO_HOOKS: Final = nullcontext()

_job: ContextVar[Job] = ContextVar("inprocess.job")


async def run(
    function: Callable[..., object],
    args: tuple[Any, ...],
    isolation: Isolation | None = None,
    *,
    name: str,
    attempt: int = 1,
    shutdown: ShutdownLimit = SHUTDOWN_S,
    queued: Callable[[Job], object] = bool,
    lost: Callable[[], object] = bool,
    hooks: Sequence[Around] = (),
) -> object:
    """Run `function(*args)` once, inside of the hooks, and return its result; raise what it raised.

    One cancellation asks the work to end within `shutdown` seconds, a second one kills it. If it cannot be
    killed, `lost` is called and CancelledError raised while the work goes on. `queued` is called with the job
    that waits for a thread or process. Work that returns in spite of
    its cancellation counts as returned. Raise WorkerDiedError if the process, or `sys.exit` in a thread, ends
    the work before it returns, and NotPicklableError for what cannot be sent to a process and back.
    """
    check_function(function)
    where = isolation or ("loop" if is_async(function) else "thread")
    if where == "loop":
        return await _here(function, args, hooks)
    if where == "thread":
        if not hooks:
            tell_of_borrowed_session()
        context = contextvars.copy_context()
        job = Job(name, partial(context.run, _call, function, args, isolation, hooks))
        context.run(_job.set, job)
        queued(job)
        return await _run_job(_threads, job, shutdown, lost)
    check_processes()
    from inprocess.supervision.isolation.worker_process import (
        ProcessJob,  # late: most programs need no processes
    )

    process_job = ProcessJob(name, attempt, function, args)
    queued(process_job)
    return await _run_job(_processes(), process_job, shutdown, lost)


def stop_requested() -> bool:
    """Whether the work of this thread was asked to end; False outside of such work."""
    job = _job.get(None)
    return job is not None and job.stop_requested


def set_limits(*, threads: int | None = None, processes: int | None = None) -> None:
    """Set how many functions run in threads and in processes at once, in this Python process. Any thread.

    None keeps a limit. Running work beyond a lowered limit is finished. Raise ValueError below 1.
    """
    for bound in (threads, processes):
        if bound is not None and bound < 1:
            raise ValueError(f"a limit is {bound}: it must be 1 at least")
    if threads is not None:
        _threads.resize(threads)
    if processes is not None:
        _processes().resize(processes)


def release(seconds: float = REAP_S) -> bool:
    """End the idle threads and processes; return False if they take longer than `seconds`.

    For tests that look for leaks. Any thread but the loop's, which it would block.
    """
    released = [pool.release(seconds) for pool in _pools()]
    return all(released)


async def _here(function: Callable[..., object], args: tuple[Any, ...], hooks: Sequence[Around]) -> object:
    """Call a function on this loop."""
    result = None  # of a hook that swallows the error
    async with entered_async(hooks) if hooks else _NO_HOOKS:
        made = function(*args)
        if inspect.isawaitable(made):
            return await made
        result = made
    _check_result(function, result)
    return result


async def _run_job(
    pool: DaemonThreadPool, job: Job, limit: ShutdownLimit, lost: Callable[[], object]
) -> object:
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    job.on_end = partial(_tell, loop, ended)
    pool.submit(job)
    try:
        await asyncio.wait((ended,))
    except asyncio.CancelledError:
        if pool.withdraw(job):
            raise
        await _stop(job, ended, limit)
        if not ended.done():
            pool.lose(job)
            log.error("%s cannot be stopped: its %s goes on, and was abandoned", job.name, pool.kind)
            lost()
            raise
        if isinstance(job.error, WorkerDiedError):  # at our request
            raise
    if job.error is not None:
        raise job.error
    return job.result


async def _stop(job: Job, ended: asyncio.Future[None], limit: ShutdownLimit) -> None:
    """Ask, wait, and kill; return when the job has ended or cannot be ended."""
    task = asyncio.current_task()
    is_kill = limit == "brutal_kill" or (task is not None and task.cancelling() > 1)
    if not is_kill:
        job.stop()
        # a little longer than the supervisor, which asks again at the limit
        seconds = None if limit == "infinity" else cast("float", limit) + KILL_WAIT_S
        await _wait(ended, seconds)
    if not ended.done() and job.kill():
        end = time.monotonic() + REAP_S
        while not ended.done() and (left := end - time.monotonic()) > 0:
            await _wait(ended, left)


async def _wait(ended: asyncio.Future[None], seconds: float | None) -> None:
    with suppress(asyncio.CancelledError):  # asked once more: on to the next step
        await asyncio.wait((ended,), timeout=seconds)


def _tell(loop: asyncio.AbstractEventLoop, ended: asyncio.Future[None]) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody waits any longer
        loop.call_soon_threadsafe(settle, ended)


def _call(
    function: Callable[..., object],
    args: tuple[Any, ...],
    isolation: Isolation | None,
    hooks: Sequence[Around],
) -> object:
    """Call a function on a thread."""
    result = None  # of a hook that swallows the error
    try:
        if isolation is not None and is_async(function):
            return asyncio.run(_here(function, args, hooks))
        if hooks:
            with entered(hooks):
                result = function(*args)
        else:
            result = function(*args)
            tell_of_open_connections()
    except (SystemExit, KeyboardInterrupt) as error:
        raise WorkerDiedError(
            f"{repr_of(error)} was raised in a thread, where it ends nothing but the call"
        ) from error
    except StopIteration as error:
        raise RuntimeError("the function raised StopIteration") from error  # which no task can raise
    _check_result(function, result)
    return result


def check_function(function: object) -> None:
    """Raise TypeError for what is no function, and for one whose call runs nothing yet."""
    if not callable(function):
        if asyncio.iscoroutine(function):
            function.close()
        raise TypeError(f"{redact(function)} cannot be called: pass the function itself, not what it returns")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(
            f"{function_name(function)} is a generator function, whose call runs nothing: pass a function "
            "that iterates over it"
        )


def check_processes() -> None:
    """Raise RuntimeError if a new process of this program's executable would be the whole app again.

    So it is in a frozen app and under uWSGI; `multiprocessing.set_executable` names a Python to run instead.
    """
    is_frozen = getattr(sys, "frozen", False)
    if not is_frozen and not Path(sys.executable).name.startswith("uwsgi"):
        return
    from multiprocessing import spawn  # late: few programs come here

    if os.fsdecode(spawn.get_executable() or sys.executable) == sys.executable:
        host = "frozen (by PyInstaller or the like)" if is_frozen else "run by uWSGI"
        raise RuntimeError(
            f'isolation="process" is not possible: this app is {host}, and {sys.executable} would start all '
            'of it again as the worker; use isolation="thread", or name a Python with '
            "multiprocessing.set_executable()"
        )


def _check_result(function: Callable[..., object], result: object) -> None:
    """Raise TypeError for a result that is work which has not been done."""
    if inspect.iscoroutine(result):
        result.close()
        what = "a coroutine: pass the async function"
    elif inspect.isgenerator(result) or inspect.isasyncgen(result):
        what = "a generator, which ran nothing: iterate over it in the function"
    elif inspect.isawaitable(result):
        what = 'an awaitable, which was not awaited: make it an async function, or pass isolation="loop"'
    else:
        return
    raise TypeError(f"{function_name(function)} is no async function but returned {what}")


class Owner(Protocol):
    """What calls `asyncio.to_thread`: a child."""

    @property
    def name(self) -> str:
        """The name that reports show."""

    def waits_for(self, job: Job) -> None:
        """Note that it waits for a thread until the job has begun."""


class LoopExecutor(ThreadPoolExecutor):
    """The default executor of a runtime's loop, which serves `asyncio.to_thread`.

    Its threads are daemons: neither the end of the loop nor the interpreter's exit waits for them without
    limit. Those that still run EXIT_WAIT_S after the exit began are named in the log.
    """

    #: Returns the child that calls, if one does.
    owner: Callable[[], Owner | None] | None = None

    def submit(self, function: Callable[..., T], /, *args: Any, **options: Any) -> Future[T]:
        """See `concurrent.futures.Executor.submit`."""
        call = partial(function, *args, **options)
        owner = None if self.owner is None else self.owner()
        return call_on_thread(_name_of(function), call)[1] if owner is None else call_for(owner, call)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - the standard library's signature
        """Return at once; what runs goes on."""


def _name_of(function: Callable[..., object]) -> str:
    """Return the name of what runs: `asyncio.to_thread` passes `Context.run` with the function."""
    if isinstance(getattr(function, "func", None), BuiltinMethodType) and function.args:  # type: ignore[attr-defined]  # a partial
        function = function.args[0]  # type: ignore[attr-defined]  # as above
    return function_name(function)


def call_on_thread(name: str, call: Callable[[], T]) -> tuple[Job, Future[T]]:
    """Run a call of `asyncio.to_thread` as soon as one of the threads for them is free. Any thread."""
    future: Future[T] = Future()
    job = Job(name, partial(_fulfil, future, call))
    _of_loops.submit(job)
    return job, future


def call_for(owner: Owner, call: Callable[[], T]) -> Future[T]:
    """Run a call of a child, and tell it that it waits for a thread. Loop's thread only."""
    job, answer = call_on_thread(owner.name, call)
    owner.waits_for(job)
    return answer


def _fulfil(future: Future[T], call: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(call())
    except BaseException as error:  # noqa: BLE001 - belongs to who awaits it
        future.set_exception(error)


def _no_more() -> None:
    """Threads need no clean-up."""


_threads = DaemonThreadPool("thread", THREADS, THREAD_IDLE_S, _no_more)
#: Those of `asyncio.to_thread` on a runtime's loop, and by children on any loop (see `loop_threads`): apart
#: from the jobs, which may be stuck, or wait for such a child.
_of_loops = DaemonThreadPool("to_thread", THREADS, THREAD_IDLE_S, _no_more)


@cache
def _processes() -> DaemonThreadPool:
    from inprocess.supervision.isolation.worker_process import leave  # late, as in `run`

    return DaemonThreadPool("process", PROCESSES, PROCESS_IDLE_S, leave)


def _pools() -> list[DaemonThreadPool]:
    threads = [_threads, _of_loops]
    return [*threads, _processes()] if _processes.cache_info().currsize else threads


def _at_exit() -> None:
    """End all processes; wait for threads for a limited time, and log those that go on."""
    if _processes.cache_info().currsize:
        for job in _processes().running():
            job.stop()
        for job in _processes().wait(EXIT_WAIT_S):
            job.kill()
        _processes().wait(REAP_S)
        _processes().release(REAP_S)
    end = time.monotonic() + EXIT_WAIT_S
    left = [job for pool in (_threads, _of_loops) for job in pool.wait(max(0.0, end - time.monotonic()))]
    if left:
        log.error(
            "the process ends while %d threads go on, which no one can stop and %g s did not end: %s",
            len(left),
            EXIT_WAIT_S,
            ", ".join(job.name for job in left),
        )


def _after_fork() -> None:
    for pool in _pools():
        pool.reset()


os.register_at_fork(after_in_child=_after_fork)
# `atexit` is too late: by then no thread can be started, and daemon threads are about to freeze.
threading._register_atexit(_at_exit)  # type: ignore[attr-defined]  # noqa: SLF001 - no public hook comes in time
