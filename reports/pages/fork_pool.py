"""Pieces of work on one run, shared out over processes that are forked once it has been read.

Forked, since what was read and imported is there at once and is not copied. That is safe only while
this process has a single thread: a lock held by another would stay held in the copy for ever.
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

#: What a forked process works on; set in it and nowhere else.
_held: tuple[Run, Sequence[Piece]]


def free() -> int:
    """How many processes may share work now: one a core, or 1 where forking is not known to be safe."""
    if not _THREADS.is_dir() or len(list(_THREADS.iterdir())) > 1:
        return 1
    return min(MOST, len(os.sched_getaffinity(0)))


def shared(run: Run, pieces: Sequence[Piece], *, processes: int) -> list[Any]:
    """What each piece makes of the run, in order, made by so many processes; what one raises is raised.

    Where a process is killed, by the kernel's memory killer say, all is made here.
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
        processes, context, initializer=_hold, initargs=(run, pieces, os.getpid())
    ) as pool:
        # not pool.map: it cancels the rest on Ctrl-C, and the pool, broken by then, stumbles over that
        asked = [pool.submit(_make, place) for place in range(len(pieces))]
        return [future.result() for future in asked]


def _hold(run: Run, pieces: Sequence[Piece], parent: int) -> None:
    """Begin a forked process: Ctrl-C ends it at once and without a word, and it ends with its parent.

    The kernel ends it, and not a thread that waits for the parent's end: that needs the interpreter's lock,
    which a piece may hold for long in C, and the pipe it waits on stays open in the processes forked later.
    """
    global _held  # noqa: PLW0603 - a pool's task sees nothing else of what its process began with
    _held = run, pieces
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the kernel knew
        os._exit(1)


def _make(place: int) -> Any:
    run, pieces = _held
    return pieces[place](run)
