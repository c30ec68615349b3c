"""A test that takes too long fails with every stack, and the tests after it run.

A plugin for pytest-timeout, whose own two ways each lose something: its thread ends the whole process,
and its signal raises once, what Hypothesis takes for a failing example and a loop may swallow.

1. At the limit SIGALRM raises `TestTimeoutError` in the main thread, wherever that is. The stacks of all
   threads and asyncio tasks go into the test's report.
2. What swallows the error, or hangs again while it clears up, gets it again every `AGAIN_S` seconds.
3. A main thread that never comes back from C code cannot be interrupted. When it has not answered for
   `LOST_S` seconds the process writes its stacks to standard error and ends; the test has failed, and
   another process takes the rest of its file. pytest-xdist alone would give it the same test again, to the
   end of its restarts.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from types import FrameType
from typing import Any, Final

import pytest
from pytest_timeout import is_debugging

#: Seconds until what has swallowed a time-out, or hangs in its own clearing up, is interrupted again.
AGAIN_S: Final = 10.0
#: Seconds without an answer after which a process that cannot be interrupted is ended.
LOST_S: Final = 60.0


class TestTimeoutError(BaseException):
    """A test took longer than its limit. No Exception, so that it goes through `except Exception`."""

    __test__ = False


class Alarm:
    """Watches over one test: raises in the main thread at its limit, and again until `cancel`."""

    def __init__(self, item: pytest.Item, limit_s: float, stderr: int) -> None:
        self._item = item
        self._limit_s = limit_s
        self._stderr = stderr
        self._told = False
        #: Whether the test's own code, or a fixture's, runs now: pytest itself is not interrupted.
        self.phase: str | None = None

    def start(self) -> None:
        """Begin to count."""
        signal.signal(signal.SIGALRM, self._ring)
        signal.setitimer(signal.ITIMER_REAL, self._limit_s, AGAIN_S)
        self._end_unless_heard_of(self._limit_s + LOST_S)

    def cancel(self) -> None:
        """End; the signal means nothing any more."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        faulthandler.cancel_dump_traceback_later()

    def _end_unless_heard_of(self, seconds: float) -> None:
        faulthandler.dump_traceback_later(seconds, exit=True, file=self._stderr)

    def _ring(self, _number: int, frame: FrameType | None) -> None:
        self._end_unless_heard_of(AGAIN_S + LOST_S)  # the main thread answers
        if self.phase is None or is_debugging():
            return
        if not self._told:
            self._told = True
            self._item.add_report_section(self.phase, "stacks at the time limit", _stacks(frame))
        raise TestTimeoutError(f"{self._item.nodeid} took longer than {self._limit_s:g} s")


_STDERR: Final = pytest.StashKey[int]()
_ALARM: Final = pytest.StashKey[Alarm]()
_OVER: Final = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    """Keep the real standard error, which a test's capture replaces."""
    config.stash[_STDERR] = os.dup(2)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Close what `pytest_configure` opened."""
    os.close(config.stash[_STDERR])


def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> bool | None:
    """Set our alarm in place of pytest-timeout's, where tests run in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        return None
    alarm = item.config.stash[_ALARM] = Alarm(item, settings.timeout, item.config.stash[_STDERR])
    item.stash[_OVER] = False
    alarm.start()
    return True


def pytest_timeout_cancel_timer(item: pytest.Item) -> bool | None:
    """Cancel it when the test is over; a test that has failed still clears up, and may hang there."""
    if item.stash.get(_OVER, True) or item.config.option.usepdb:
        _cancel(item.config)
    return True


def pytest_enter_pdb(config: pytest.Config) -> None:
    """Nobody is hurried in a debugger."""
    _cancel(config)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Of `--dist loadfile`, a scheduler that counts a test as done that has ended its process."""
    if config.option.dist != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling  # late: the suite runs without xdist too

    class OnceScheduling(LoadFileScheduling):  # type: ignore[misc] # xdist has no types
        def remove_node(self, node: Any) -> Any:
            units = self.assigned_work[node].values()
            left = [(unit, test) for unit in units for test, done in unit.items() if not done]
            if not left:
                return super().remove_node(node)
            unit, crashed = left[0]
            unit[crashed] = True
            work = self.assigned_work.pop(node)
            self.workqueue.update({scope: unit for scope, unit in work.items() if not all(unit.values())})
            for other in self.assigned_work:
                self._reschedule(other)
            return crashed

        def _reschedule(self, node: Any) -> None:
            """Give a process two tests or more, or word that there are no more: it runs none before that.

            The successor of a dead process gets its first ones when it has collected.
            """
            if node not in self.registered_collections:
                return
            super()._reschedule(node)
            while not node.shutting_down and self._pending_of(self.assigned_work[node]) < 2:
                if not self.workqueue:
                    node.shutdown()
                    return
                self._assign_work_unit(node)

    return OnceScheduling(config, log)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Tell `pytest_timeout_cancel_timer` which of its calls is the last."""
    found = yield
    item.stash[_OVER] = True
    return found


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Code of fixtures runs, which may be interrupted."""
    return (yield from _interruptible(item, "setup"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Code of the test runs, which may be interrupted."""
    return (yield from _interruptible(item, "call"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """As `pytest_runtest_setup`."""
    return (yield from _interruptible(item, "teardown"))


def _interruptible(item: pytest.Item, phase: str) -> Iterator[None]:
    alarm = item.config.stash.get(_ALARM, None)
    if alarm is None:
        return (yield)
    try:
        alarm.phase = phase
        return (yield)
    finally:
        alarm.phase = None


def _cancel(config: pytest.Config) -> None:
    if (alarm := config.stash.get(_ALARM, None)) is not None:
        alarm.cancel()
        del config.stash[_ALARM]


def _stacks(frame: FrameType | None) -> str:
    """The stack of each thread, the interrupted one first, and of each asyncio task that is not done."""
    out = io.StringIO()
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    main = threading.get_ident()
    others = [(ident, stack) for ident, stack in sys._current_frames().items() if ident != main]
    for ident, stack in [(main, frame), *others]:
        out.write(f"--- thread {names.get(ident, ident)}\n{''.join(_frames(stack))}")
    for task in [each for each in gc.get_objects() if isinstance(each, asyncio.Task) and not each.done()]:
        out.write(f"--- task {task.get_name()}\n")
        task.print_stack(file=out)
    return out.getvalue()


def _frames(stack: FrameType | None) -> list[str]:
    """The frames of a thread without those of pytest, from whose code it may come."""
    frames = traceback.extract_stack(stack)
    ours = [number for number, frame in enumerate(frames, 1) if f"{os.sep}_pytest{os.sep}" in frame.filename]
    return traceback.format_list(frames[max(ours, default=0) :])
