"""Check that everything a block started has ended with it.

    @pytest.fixture(autouse=True)
    def _nothing_is_left_over():
        with no_leaks():
            yield

Checked when the block ends, and when `asyncio.run` (any `asyncio.Runner`) ends inside it, just before it
cancels what is left:

- tasks of the loop that are not done; cancelled ones have SETTLE_TURNS to end;
- timers of the loop and of every scheduler on it, including those of fake clocks;
- threads and child processes, including zombies; the runtime's idle ones are ended first;
- names that are taken, and telemetry handlers that are attached.

Threads and processes have PATIENCE_S to end. Work that was abandoned and reported is not found.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from inprocess.supervision.core import names, scheduler, telemetry
from inprocess.supervision.introspection.watchdog import THREAD_NAME
from inprocess.supervision.isolation import isolation
from inprocess.testing.clock import settle

#: Seconds that threads and processes have to end after the block.
PATIENCE_S = 2.0
#: Seconds between two checks of processes.
LOOK_S = 0.01


class LeakError(AssertionError):
    """Something is left over; the text lists it by kind and name."""


@dataclass(slots=True, eq=False)
class Leaks:
    """What is left over, by kind."""

    tasks: list[str] = field(default_factory=list)
    timers: list[str] = field(default_factory=list)
    threads: list[str] = field(default_factory=list)
    processes: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    handlers: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kinds = {
            "tasks (await or cancel them)": self.tasks,
            "timers (cancel them, or stop their process)": self.timers,
            "threads (join them)": self.threads,
            "child processes (end and wait for them)": self.processes,
            "names (stop the processes that have them)": self.names,
            "telemetry handlers (detach them)": self.handlers,
        }
        lines = [f"  {kind}: {', '.join(found)}" for kind, found in kinds.items() if found]
        return "\n".join(["left over:", *lines]) if lines else "nothing is left over"

    def __bool__(self) -> bool:
        return any(
            (self.tasks, self.timers, self.threads, self.processes, self.names, self.handlers),
        )


@contextmanager
def no_leaks() -> Iterator[Leaks]:
    """Raise LeakError at the end of the block if something that began in it is left.

    Not if the block itself raises: that error is shown. Use it on the main thread of a process that
    starts no other work meanwhile. Blocks may be nested; the innermost one checks a loop that ends.
    """
    leaks = Leaks()
    threads, children = set(threading.enumerate()), _children()
    taken, handlers = set(names.registered()), _handlers()
    _open.append(leaks)
    try:
        with mock.patch.object(asyncio.Runner, "close", _checked_close(asyncio.Runner.close, leaks)):
            yield leaks
    finally:
        _open.remove(leaks)
    gc.collect()  # a coroutine that nobody awaited warns here
    isolation.release()
    leaks.threads += _left_threads(threads)
    leaks.processes += _left_processes(children)
    leaks.names += sorted(set(names.registered()) - taken)
    leaks.handlers += sorted(_handlers() - handlers)
    if leaks:
        raise LeakError(str(leaks))


def _checked_close(close: Callable[[asyncio.Runner], None], leaks: Leaks) -> Callable[[asyncio.Runner], None]:
    def checked(runner: asyncio.Runner) -> None:
        loop = getattr(runner, "_loop", None)  # None where it never ran, or was closed before
        if loop is not None and not loop.is_closed() and _open[-1] is leaks:
            loop.run_until_complete(settle())
            leaks.tasks += [repr(task) for task in asyncio.all_tasks(loop)]
            leaks.timers += _timers(loop)
        close(runner)

    return checked


def _timers(loop: asyncio.AbstractEventLoop) -> list[str]:
    """Return the armed timers: number of the schedulers', callback of the loop's own."""
    shared = list(scheduler._schedulers.get(loop, {}).values())  # noqa: SLF001 - of the same package
    armed = [f"{known.armed} of the scheduler of {known.clock!r}" for known in shared if known.armed]
    own = getattr(loop, "_scheduled", ())  # asyncio's loops tell; uvloop does not
    return armed + [
        repr(handle)
        for handle in own
        if not handle.cancelled() and not _is_known(getattr(handle, "_callback", None))
    ]


def _is_known(callback: object) -> bool:
    """Whether a timer belongs to a scheduler, or to a `sleep` or `timeout`, which their task shows."""
    owner = getattr(callback, "__self__", None)
    name = getattr(callback, "__qualname__", "")
    return isinstance(owner, scheduler.Scheduler | asyncio.Timeout) or name == "_set_result_unless_cancelled"


def _left_threads(before: set[threading.Thread]) -> list[str]:
    deadline = time.monotonic() + PATIENCE_S
    started = [
        thread for thread in threading.enumerate() if thread not in before and thread.name != THREAD_NAME
    ]
    for thread in started:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [thread.name for thread in started if thread.is_alive()]


def _left_processes(before: set[int]) -> list[str]:
    deadline = time.monotonic() + PATIENCE_S
    while (left := _children() - before) and time.monotonic() < deadline:
        time.sleep(LOOK_S)
    return [f"{pid} {_command(pid)}" for pid in sorted(left)]


def _children() -> set[int]:
    """Return the pids of this process's children, zombies included, without those of multiprocessing."""
    kept = {_kept("resource_tracker", "_pid"), _kept("forkserver", "_forkserver_pid")}
    pids: set[int] = set()
    for thread in Path("/proc/self/task").iterdir():
        try:
            pids.update(map(int, (thread / "children").read_text().split()))
        except OSError:  # the thread ended meanwhile, or the kernel does not tell
            continue
    return pids - kept


def _kept(module: str, attribute: str) -> int | None:
    """Return the pid of a process that multiprocessing keeps, if it was ever used."""
    loaded = sys.modules.get(f"multiprocessing.{module}")
    return getattr(getattr(loaded, f"_{module}", None), attribute, None)


def _command(pid: int) -> str:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return "(gone)"
    return command.strip() or "(a zombie)"


def _handlers() -> set[str]:
    return {handler_id for handlers in list(telemetry.attached.values()) for handler_id, _ in handlers}


_open: list[Leaks] = []
