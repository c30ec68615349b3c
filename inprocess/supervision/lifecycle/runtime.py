"""Runtime: an event loop on a thread of its own, for callers that have no loop.

An async app has a loop already: it calls `attach` in its lifespan, and calls from its worker threads then
use that loop. Functions that may be called from any thread say so; `on_loop` calls any other function,
plain or async, from a thread.

At its end a runtime drains every supervisor that still runs on it, for `grace_s`: when it is stopped, when
the interpreter ends, and at SIGTERM if nobody else handles that. A second SIGTERM, or Ctrl-C, cuts the
grace short, and a third ends the process at once. Only a runtime that was started on the main thread can
take SIGTERM. A server that ends the process by the signal itself, without the interpreter's end, drains
nothing: give it a lifespan (`asgi`).

A fork of the app (a pre-forking web server) has no
threads: there the runtime starts anew at the first call. What was in memory stays in the original.

`asyncio.to_thread` on its loop uses daemon threads, so that no exit waits for them without limit. Nothing
starts when the interpreter has begun to end: a start is then refused.

Python 3.12.0 to 3.12.2 start no thread and no process after the end of the main thread (gh-113964): there,
call `stop` before, if the drain needs one.
"""

from __future__ import annotations

import asyncio
import concurrent.futures.thread  # registers its exit hook first, so that ours runs before it
import os
import signal
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext, suppress
from functools import partial
from typing import Any, Self, TypeVar, cast

from inprocess.supervision.core import names
from inprocess.supervision.core.errors import LoopGoneError
from inprocess.supervision.core.log import log
from inprocess.supervision.core.loops import import_waited_for, made_before_fork
from inprocess.supervision.core.scheduler import schedulers_of
from inprocess.supervision.core.thread_bridge import wait_on
from inprocess.supervision.isolation.around import Around, around_jobs_of, check_hook
from inprocess.supervision.isolation.isolation import LoopExecutor  # registers its exit hook first as well
from inprocess.supervision.lifecycle.drain import GRACE_S, drain, promised_until

#: Seconds that the start of a runtime may take.
START_TIMEOUT_S = 10.0
#: Seconds that the end of a runtime may take, in addition to the grace of its drains.
STOP_TIMEOUT_S = 30.0
#: Seconds between two looks at a runtime that ends.
LOOK_S = 0.5
#: Seconds between two looks at a runtime that starts.
START_LOOK_S = 0.1
#: Seconds in which a third signal ends the process.
HURRY_S = 10.0

#: Frames that a message about a start shows.
SHOWN_FRAMES = 3
#: Why nothing starts at the interpreter's end.
TOO_LATE = (
    "the interpreter is ending and begins no new work: start it earlier, or do the work in place "
    "(as in a function that `atexit` calls)"
)

T = TypeVar("T")

_attached: list[asyncio.AbstractEventLoop] = []


class _Start:
    """One start of a runtime; a later one takes its place if it takes too long."""

    __slots__ = ("entered", "main")

    def __init__(self) -> None:
        self.entered: concurrent.futures.Future[None] = concurrent.futures.Future()
        self.main: asyncio.Task[object] | None = None


class Runtime:
    """An event loop on a daemon thread, inside an application (an async context manager).

    `start` returns once the application is entered; `stop` leaves it, at the latest at the interpreter's
    exit. Both may be called repeatedly and from any thread but its own. If the loop ends with an error,
    the error is logged, and `start` starts it anew. `grace_s` is what the work of supervisors gets that
    the application has left running. `around` is a hook that each job on the loop runs inside of, see
    `isolation.around`. `loop_factory` creates the loop, for example uvloop's. `with` starts
    and stops it.
    """

    def __init__(
        self,
        application: Callable[[], AbstractAsyncContextManager[Any]] = nullcontext,
        *,
        name: str = "inprocess",
        grace_s: float = GRACE_S,
        around: Around | None = None,
        loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
    ) -> None:
        if around is not None:
            check_hook(around)
        self._application = application
        self._name = name
        self._grace_s = grace_s
        self._around = around
        self._main: asyncio.Task[object] | None = None
        self._is_stopping = False
        self._loop_factory = loop_factory
        self._ends_with_interpreter = False
        self._lock = threading.Lock()
        self._beginning = threading.Lock()  # held while one start takes over, or is given up
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        _runtimes.add(self)

    @property
    def has_loop(self) -> bool:
        """Whether it was started."""
        return self._loop is not None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop; raise RuntimeError before the first start."""
        if self._loop is None:
            raise RuntimeError(f"the runtime {self._name} was not started: call start() first")
        return self._loop

    def start(self) -> Self:
        """Start the thread and enter the application, unless that is done already.

        Raise what the application raises; TimeoutError if it is not entered within START_TIMEOUT_S (it is
        then cancelled, and left if it is entered all the same); and LoopGoneError if it waits for an import
        that the calling thread has begun, and when the interpreter has begun to end.
        """
        self._refuse_own_thread("start")
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._start()
        return self

    def run(self, awaitable: Awaitable[T], timeout_s: float | None = None) -> T:
        """Await an awaitable on the loop and return its result; raise what it raises.

        After `timeout_s` seconds it is cancelled and TimeoutError raised. Raise RuntimeError on the
        loop's own thread, which would wait for itself.
        """
        return cast("T", self.call(_itself, awaitable, timeout_s=timeout_s))

    def call(
        self, function: Callable[..., Any], /, *args: Any, timeout_s: float | None = None, **options: Any
    ) -> Any:
        """Like `on_loop`, on this loop."""
        return on_loop(function, *args, loop=self.loop, timeout_s=timeout_s, **options)

    def stop(self) -> None:
        """Leave the application, which drains it, and end the thread; log an error if it does not end."""
        self._refuse_own_thread("stop")
        with self._lock:
            thread, self._thread = self._thread, None
            if thread is None or not thread.is_alive():
                return
            self._is_stopping = True
            self.loop.call_soon_threadsafe(self._stopping.set)
            try:
                self._join(thread)
            finally:
                self._is_stopping = False
        if thread.is_alive():
            log.error("the runtime %s did not end in time and was abandoned", self._name)

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` waits for its end."""
        return self._is_stopping

    def hurry(self) -> None:
        """Cut the grace of its drains short; they still stop and report. Any thread."""
        if self._main is not None and self._is_stopping:
            with suppress(RuntimeError):  # it has just ended
                self.loop.call_soon_threadsafe(self._main.cancel)

    def _join(self, thread: threading.Thread) -> None:
        """Wait for the thread: STOP_TIMEOUT_S, and as long as a drain on its loop has promised."""
        begun = time.monotonic()
        while thread.is_alive() and time.monotonic() < STOP_TIMEOUT_S + max(begun, promised_until(self.loop)):
            try:
                thread.join(LOOK_S)
            except KeyboardInterrupt:
                _hurry(signal.SIGINT)

    def reset(self) -> None:
        """Reset it to not started, in a fork of the process."""
        self._lock = threading.Lock()
        self._beginning = threading.Lock()
        self._thread = self._loop = self._main = None
        self._is_stopping = False

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def _start(self) -> None:
        if _ending:
            raise LoopGoneError(f"{self._name}: {TOO_LATE}")
        start = _Start()
        thread = threading.Thread(target=self._host, args=(start,), name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # Python 3.12 and later say so themselves
            raise LoopGoneError(f"{self._name}: {TOO_LATE}") from error
        self._wait_for(start, thread)
        self._thread = thread
        _take_sigterm()
        if not self._ends_with_interpreter:
            self._ends_with_interpreter = True
            _before_exit(self.stop)

    def _wait_for(self, start: _Start, thread: threading.Thread) -> None:
        """Wait until the application is entered, or raise why it is not."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while (left := deadline - time.monotonic()) > 0:
            try:
                start.entered.result(min(left, START_LOOK_S))
            except concurrent.futures.TimeoutError:
                if start.entered.done():  # the error is the application's
                    break
                module = import_waited_for(thread.ident)
                if module is not None and self._give_up(start):
                    raise LoopGoneError(
                        f"{self._name} waits for the import of {module}, which this thread has begun and not "
                        "finished: start it after the import, for example at the first use"
                    ) from None
            else:
                return
        place = _place(thread)
        if self._give_up(start):
            raise TimeoutError(
                f"{self._name} did not start within {START_TIMEOUT_S:g} s: its thread is at {place}"
            )
        start.entered.result()

    def _give_up(self, start: _Start) -> bool:
        """End a start that takes too long, so that it does not get in the way of the next one."""
        with self._beginning:
            if not start.entered.cancel():
                return False
            main = start.main
            if main is not None and main is self._main:
                self._loop = self._main = None
        if main is not None:
            with suppress(RuntimeError):  # it has just ended
                main.get_loop().call_soon_threadsafe(main.cancel)
        return True

    def _host(self, start: _Start) -> None:
        entered = start.entered
        try:
            with asyncio.Runner(loop_factory=self._loop_factory) as runner:
                runner.run(self._live(start))
        except asyncio.CancelledError:  # it was hurried
            if not entered.done():
                entered.set_exception(RuntimeError(f"{self._name} was ended while it started"))
        except BaseException as error:  # noqa: BLE001 - raised by `start`, or logged
            if entered.done():
                log.exception("the runtime %s ended with an error", self._name)
            else:
                entered.set_exception(error)

    async def _live(self, start: _Start) -> None:
        loop, stopping = asyncio.get_running_loop(), asyncio.Event()
        executor = LoopExecutor(max_workers=1)  # it makes threads of its own
        loop.set_default_executor(executor)
        if self._around is not None:
            around_jobs_of(loop, self._around)
        with self._beginning:
            if start.entered.cancelled():  # the start has timed out before it ran, and another may have begun
                return
            start.main = self._main = asyncio.current_task()
            self._loop, self._stopping = loop, stopping
        with attach(loop):
            try:
                async with self._application():
                    if start.entered.set_running_or_notify_cancel():  # else the start has timed out
                        start.entered.set_result(None)
                        await stopping.wait()
            finally:
                await _drain_what_is_left(loop, self._grace_s)
                if getattr(loop, "_default_executor", None) is executor:  # else closing it takes a thread
                    loop._default_executor = None  # type: ignore[attr-defined]  # noqa: SLF001 - no public way back

    def _refuse_own_thread(self, what: str) -> None:
        if self._thread is threading.current_thread():
            raise RuntimeError(
                f"{self._name}: {what} was called on its own thread, which would wait for itself"
            )


_runtimes: weakref.WeakSet[Runtime] = weakref.WeakSet()


def on_loop(
    function: Callable[..., Any],
    /,
    *args: Any,
    loop: asyncio.AbstractEventLoop | None = None,
    timeout_s: float | None = None,
    **options: Any,
) -> Any:
    """Call any function of this package from a thread: `on_loop(supervisor.stop)`, `on_loop(child.wait)`.

    Call it on the loop's thread, await the result if it is awaitable, and return the outcome or raise its
    error. The loop is `loop`, else that of the process whose method it is, else the home loop (see
    `home_loop`). After `timeout_s` seconds it is cancelled and TimeoutError raised; None waits without
    limit. Raise RuntimeError on the loop's own thread, which would wait for itself.
    """
    return wait_on(loop or _loop_of(function) or home_loop(), partial(function, *args, **options), timeout_s)


@contextmanager
def attach(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Make this loop the home of callers without a loop, while the block runs."""
    _attached.append(loop)
    try:
        yield
    finally:
        _attached.remove(loop)


_shared = Runtime()


def home_loop() -> asyncio.AbstractEventLoop:
    """Return the running loop, else the last attached one, else that of a Runtime started now."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        try:
            return _attached[-1]
        except IndexError:  # not asked before: the last block of `attach` may end in between
            return _shared.start().loop


def _itself(awaitable: Awaitable[T]) -> Awaitable[T]:
    return awaitable


def _loop_of(function: Callable[..., Any]) -> asyncio.AbstractEventLoop | None:
    owner = getattr(function, "__self__", None)
    # A child lives where its supervisor does.
    owner = getattr(owner, "__process__", None) or getattr(owner, "supervisor", owner)
    return cast("asyncio.AbstractEventLoop | None", getattr(owner, "loop", None))


async def _drain_what_is_left(loop: asyncio.AbstractEventLoop, grace_s: float) -> None:
    """Drain the supervisors on the loop that nobody has ended and that have no parent."""
    left = [
        supervisor
        for scheduler in schedulers_of(loop)
        for supervisor in list(scheduler.supervisors)
        if supervisor.exit is None and supervisor.parent is None
    ]
    await asyncio.gather(*(drain(supervisor, grace_s=grace_s) for supervisor in left))
    for scheduler in schedulers_of(loop):
        tasks = scheduler.unlinked
        if tasks is not None and tasks.held():  # of `Task.start`, whose end nobody waits for
            await drain(tasks, grace_s=0.0)


def _take_sigterm() -> None:
    """Make SIGTERM end the interpreter in order, which drains, unless somebody else handles it."""
    if threading.current_thread() is not threading.main_thread():
        return  # only the main thread may set a handler
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminated)


def _terminated(number: int, _frame: object) -> None:
    if any(runtime.is_stopping for runtime in list(_runtimes)):
        _hurry(number)
    else:
        raise SystemExit(128 + number)


_hurried: list[float] = []


def _hurry(number: int) -> None:
    """Cut the drains short at the first signal that comes while they run; end the process at the next."""
    now = time.monotonic()
    if any(now - before < HURRY_S for before in _hurried):
        log.error("a third signal within %g s: the process ends now", HURRY_S)
        os._exit(128 + number)
    _hurried.append(now)
    for runtime in list(_runtimes):
        runtime.hurry()


def _before_exit(stop: Callable[[], None]) -> None:
    """Call `stop` when the interpreter begins to end, while threads can still be started.

    `atexit` is too late: the thread pools that the drained work needs then refuse to start a thread.
    """
    threading._register_atexit(stop)  # type: ignore[attr-defined]  # noqa: SLF001 - no public hook comes in time


_ending: list[bool] = []


def _note_ending() -> None:
    """Note that the interpreter has begun to end. Registered first, so called after each runtime's stop."""
    _ending.append(True)


def _place(thread: threading.Thread) -> str:
    """Return where a thread is now, for a message: file, line and function, innermost first."""
    frame = sys._current_frames().get(thread.ident or 0)  # noqa: SLF001 - documented under this name
    lines = traceback.extract_stack(frame)[::-1] if frame is not None else []
    shown = [f"{line.filename}:{line.lineno} in {line.name}" for line in lines[:SHOWN_FRAMES]]
    return ", called from ".join(shown) or "its end"


def _after_fork() -> None:
    made_before_fork([*_attached, *(runtime.loop for runtime in _runtimes if runtime.has_loop)])
    _attached.clear()
    names.forget_all()
    for runtime in _runtimes:
        runtime.reset()


os.register_at_fork(after_in_child=_after_fork)
_before_exit(_note_ending)
