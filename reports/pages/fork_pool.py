"""Runs several functions of one run in forked processes.

A forked process has what was read and imported without copying it. That is safe only while this
process has a single thread: a lock held by another thread would stay held in the copy for ever.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

from reports.data.run import Run

#: More processes than this wait for the longest piece.
MOST = 4
#: Lists the threads of this process, on Linux.
_THREADS = Path("/proc/self/task")
#: From Linux's <sys/prctl.h>: the signal that the kernel sends a process when the thread that forked it ends.
_PR_SET_PDEATHSIG: Final = 1

Piece = Callable[[Run], Any]

#: What a forked process works on; set there and nowhere else.
_work: tuple[Run, Sequence[Piece]]


def process_count() -> int:
    """The number of processes to use now: one a core, or 1 where forking is not known to be safe."""
    if not _THREADS.is_dir() or len(list(_THREADS.iterdir())) > 1:
        return 1
    return min(MOST, len(os.sched_getaffinity(0)))


def run_pieces(run: Run, pieces: Sequence[Piece], *, processes: int) -> list[Any]:
    """Return the result of each piece, in order, from so many processes; raise what a piece raises.

    Where a process is killed, by the kernel's memory killer for example, run all pieces here.
    """
    if processes > 1:
        try:
            return _forked(run, pieces, processes)
        except BrokenProcessPool:
            pass
    return [piece(run) for piece in pieces]


def _forked(run: Run, pieces: Sequence[Piece], processes: int) -> list[Any]:
    context = get_context("fork")
    with ProcessPoolExecutor(
        processes, context, initializer=_begin, initargs=(run, pieces, os.getpid())
    ) as pool:
        # not pool.map: it cancels the rest on Ctrl-C, and the pool, broken by then, stumbles over that
        futures = [pool.submit(_make, place) for place in range(len(pieces))]
        return [future.result() for future in futures]


def _begin(run: Run, pieces: Sequence[Piece], parent: int) -> None:
    """Set up a forked process: Ctrl-C ends it at once and silently, and it ends with its parent.

    The kernel ends it, and not a thread that waits for the parent's end: that needs the interpreter's lock,
    which a piece may hold for long in C, and the pipe it waits on stays open in the processes forked later.
    """
    global _work  # noqa: PLW0603 - a pool's task sees nothing else of what its process began with
    _work = run, pieces
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the kernel knew
        os._exit(1)


def _make(place: int) -> Any:
    run, pieces = _work
    return pieces[place](run)
