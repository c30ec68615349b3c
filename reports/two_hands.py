"""Drawing in two processes at once: a full run's figures take longer than everything else together."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from reports.drawings import SECTIONS, drawings
from reports.reading import Run, read
from reports.sections.kinds import Drawn


@contextmanager
def second_hand(directory: Path) -> Iterator[Callable[[Run], Drawn]]:
    """What draws the run in `directory`: its first section here, the others in a process that begins at once.

    It is spawned and not forked, as its parent may have threads by now, and ends with the block.
    """
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        others = pool.submit(_drawn, directory)
        yield lambda run: {**drawings(run, SECTIONS[:1]), **others.result()}


def _drawn(directory: Path) -> Drawn:
    return drawings(read(directory), SECTIONS[1:])
