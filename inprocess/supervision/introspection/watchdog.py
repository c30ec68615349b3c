"""Watchdog: a thread that notices when an event loop is blocked, says by whom, and looks after the clocks.

Code that blocks the loop stops everything on it: requests, timers, health checks; some servers kill a
worker for that. The watchdog asks each loop on which something of this package runs for a sign of life,
twice in `blocked_after_s` seconds. If there is none for that long, it logs a warning that names the child
or server that runs, with its stack, and executes the telemetry event `("loop", "blocked")` on its own
thread; when the loop goes on, a line says for how long it stood still. It is on by default: `set_watchdog`
changes the bound or switches it off. asyncio's debug mode tells the same after the end alone, and costs
much more.

Code that holds the interpreter's lock (an extension, a regular expression, `sum` of a long range) stops the
watchdog too: it says so right afterwards, and then the stack is still that of the culprit. If the loop itself
was idle, it names the functions that run in threads.

The thread also compares the clocks, on or off, and tells the periodic servers when the machine was
suspended or the wall clock was set.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
import weakref
from contextlib import suppress
from math import inf
from typing import Final

from inprocess.supervision.core import telemetry
from inprocess.supervision.core.clock import LoopClock, suspended_s
from inprocess.supervision.core.log import log
from inprocess.supervision.core.scheduler import on_new_loop, schedulers_of
from inprocess.supervision.introspection.blame import Blame, blame, running_in_threads
from inprocess.supervision.periodic.timer_process import clocks_moved

#: Seconds that a loop may stand still before it is reported.
BLOCKED_AFTER_S: Final = 2.0
#: Signs of life that are asked for within that time.
LOOKS: Final = 2
#: Seconds between two looks at the clocks, at most.
CLOCKS_S: Final = 5.0
#: Seconds by which a clock must have moved beside another to count; less is how they are read.
MOVED_S: Final = 0.5
#: The part of the time that the process computed, if a thread is suspected: else it was only stopped.
USED: Final = 0.1
#: Seconds that the thread has to end before a fork.
END_S: Final = 1.0
#: The name of the thread.
THREAD_NAME: Final = "inprocess watchdog"
#: The event: measurement blocked_s; metadata by, stack.
BLOCKED: Final = ("loop", "blocked")

_ADVICE: Final = (
    "nothing else on it ran, requests and timers included. Await what waits; pass work that blocks as a "
    'plain function, which runs in a thread, and work that computes with isolation="process"'
)


def set_watchdog(*, blocked_after_s: float | None) -> None:
    """Report an event loop that is blocked for so many seconds; None switches that off. Any thread.

    It is on by default, with BLOCKED_AFTER_S. Raise ValueError for a number not above 0.
    """
    if blocked_after_s is not None and not 0 < blocked_after_s < inf:
        raise ValueError(f"blocked_after_s is {blocked_after_s!r}: expected seconds above 0, or None for off")
    _watchdog.set_bound(blocked_after_s)


class _Watched:
    """One loop: whether it owes a sign of life, and since when."""

    def __init__(self, loop: asyncio.AbstractEventLoop, thread_id: int) -> None:
        self.loop = weakref.ref(loop)
        self._thread_id = thread_id
        self._asked_at: float | None = None
        self._reported_at: float | None = None  # when what was reported began

    def is_closed(self) -> bool:
        """Whether nothing will run on it any more."""
        loop = self.loop()
        return loop is None or loop.is_closed()

    def tell(self, slept_s: float, since: float) -> None:
        """Tell its periodic servers that the clocks moved, see `clocks_moved`."""
        loop = self.loop()
        if loop is not None:
            with suppress(RuntimeError):  # it was closed just now
                loop.call_soon_threadsafe(_clocks_moved, loop, slept_s, since)

    def look(self, now: float, bound_s: float, overslept_s: float) -> None:
        """Report the loop if it is blocked, and ask it for a sign of life."""
        loop = self.loop()
        if loop is None or not loop.is_running():
            self._asked_at = self._reported_at = None
            return
        stood_s = max(overslept_s, 0.0 if self._asked_at is None else now - self._asked_at)
        if stood_s >= bound_s and self._reported_at is None:
            found = blame(loop, self._thread_id)
            if found is not None:
                self._reported_at = now - stood_s
                was_locked = overslept_s >= bound_s
                what = (
                    f"{_no_thread_ran(stood_s)}; the event loop runs"
                    if was_locked
                    else (f"the event loop was blocked for {stood_s:.1f} s by")
                )
                _report(found, stood_s, f"{what} {found.name}")
        if self._asked_at is None:
            self._asked_at = now
            with suppress(RuntimeError):  # it was closed just now
                loop.call_soon_threadsafe(self._is_alive)

    def _is_alive(self) -> None:
        self._thread_id = threading.get_ident()
        began, self._asked_at, self._reported_at = self._reported_at, None, None
        if began is not None:
            log.warning("the event loop goes on, after %.1f s", time.monotonic() - began)


class _Watchdog:
    """The thread, which runs while there is a loop to watch."""

    def __init__(self) -> None:
        self._bound_s: float | None = BLOCKED_AFTER_S
        self._watched: list[_Watched] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._clocks = _Clocks()

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Watch this loop, which runs on the calling thread."""
        with self._changed:
            self._watched.append(_Watched(loop, threading.get_ident()))
        self.start()

    def set_bound(self, bound_s: float | None) -> None:
        """Set the bound; None for none."""
        self.pause()
        self._bound_s = bound_s
        self.start()

    def start(self) -> None:
        """Start the thread, if it is needed and does not run."""
        with self._changed:
            if self._thread is None and self._watched:
                thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
                with suppress(RuntimeError):  # the interpreter ends
                    thread.start()
                    self._thread = thread

    def pause(self) -> None:
        """End the thread, before a fork: a process with threads had better not be forked."""
        with self._changed:
            thread, self._thread = self._thread, None
            self._changed.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join(END_S)

    def forget(self) -> None:
        """Forget the loops of the original, in a fork."""
        self._watched, self._changed = [], threading.Condition()

    def _run(self) -> None:
        me, bound_s = threading.current_thread(), self._bound_s
        wait_s = CLOCKS_S if bound_s is None else min(CLOCKS_S, bound_s / LOOKS)
        while True:
            began, used_before = time.monotonic(), time.process_time()
            with self._changed:
                self._changed.wait_for(lambda: self._thread is not me, wait_s)
                self._watched = [watched for watched in self._watched if not watched.is_closed()]
                if self._thread is not me:
                    return
                if not self._watched:
                    self._thread = None
                    return
            if (slept_s := self._clocks.moved()) is not None:
                for watched in self._watched:
                    watched.tell(slept_s, began)
            if bound_s is not None:
                overslept_s = time.monotonic() - began - wait_s
                try:
                    self._look(bound_s, overslept_s, time.process_time() - used_before)
                except Exception:  # noqa: BLE001 - what it looks at goes on meanwhile, on Pythons without the lock too
                    log.exception("the watchdog could not tell who blocks the loop")

    def _look(self, bound_s: float, overslept_s: float, used_s: float) -> None:
        now = time.monotonic()
        for watched in list(self._watched):
            watched.look(now, bound_s, overslept_s)
        if overslept_s >= bound_s and used_s > overslept_s * USED:
            for found in running_in_threads():
                _report(found, overslept_s, f"{_no_thread_ran(overslept_s)}; a thread runs {found.name}")


class _Clocks:
    """The clocks beside each other."""

    def __init__(self) -> None:
        self._suspended_s, self._ahead_s = suspended_s(), time.time() - time.monotonic()

    def moved(self) -> float | None:
        """Return the seconds that the machine was suspended since the last look.

        0.0 if only the wall clock was set, and None if neither.
        """
        slept_s, set_s = suspended_s() - self._suspended_s, time.time() - time.monotonic() - self._ahead_s
        if max(abs(slept_s), abs(set_s)) < MOVED_S:
            return None
        self._suspended_s += slept_s
        self._ahead_s += set_s
        return slept_s if abs(slept_s) >= MOVED_S else 0.0


def _clocks_moved(loop: asyncio.AbstractEventLoop, slept_s: float, since: float) -> None:
    for scheduler in schedulers_of(loop):
        if isinstance(scheduler.clock, LoopClock):
            clocks_moved(scheduler, slept_s, since)


def _report(found: Blame, stood_s: float, what: str) -> None:
    log.warning("%s: %s\n%s", what, _ADVICE, found.stack)
    if telemetry.attached:
        telemetry.execute(BLOCKED, {"blocked_s": stood_s}, {"by": found.name, "stack": found.stack})


def _no_thread_ran(stood_s: float) -> str:
    return (
        f"no thread ran for {stood_s:.1f} s, since something held the interpreter's lock or the machine was "
        "busy"
    )


_watchdog = _Watchdog()
on_new_loop.append(_watchdog.watch)
os.register_at_fork(before=_watchdog.pause, after_in_parent=_watchdog.start, after_in_child=_watchdog.forget)
