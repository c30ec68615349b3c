"""Pieces of work on one run, shared out over processes that are forked once it has been read.

Forked, since what was read and imported is there at once and is not copied. That is safe only while
this process has a single thread: a lock held by another would stay held in the copy for ever.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any

from reports.data.run import Run

#: More processes than this wait for the longest piece.
MOST = 4
#: Lists the threads of this process, on Linux.
_THREADS = Path("/proc/self/task")

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
    with ProcessPoolExecutor(processes, context, initializer=_hold, initargs=(run, pieces)) as pool:
        # not pool.map: it cancels the rest on Ctrl-C, and the pool, broken by then, stumbles over that
        asked = [pool.submit(_make, place) for place in range(len(pieces))]
        return [future.result() for future in asked]


def _hold(run: Run, pieces: Sequence[Piece]) -> None:
    """Begin a forked process: Ctrl-C ends it at once and without a word, and it ends with its parent."""
    global _held  # noqa: PLW0603 - a pool's task sees nothing else of what its process began with
    _held = run, pieces
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := parent_process():
        parent.join()
        os._exit(1)


def _make(place: int) -> Any:
    run, pieces = _held
    return pieces[place](run)
