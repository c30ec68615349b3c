"""`index.html` beside the runs: all runs, newest first, and their headline figures from run to run.

Every run and every report replaces the page, whole and by one process at a time, so that two runs that end
together are both on it. A run that cannot be read is listed with the reason.
"""

from __future__ import annotations

from pathlib import Path

from bench.schema import INDEX
from reports.data.atomic_write import write
from reports.data.errors import RunError
from reports.index.entries import entries
from reports.index.lock import locked
from reports.index.page import html
from reports.index.trends import trends
from reports.pages import matplotlib_cache
from reports.pages.templating import GENERATOR

__all__ = ["runs_beside", "write_index"]

#: What `queue-or-task compare` calls its pages.
PAIRS = "compare-*.html"
#: Bytes at the start of a page that tell whether it is ours.
_HEAD = 2_000


def runs_beside(run_directory: Path) -> Path:
    """The folder that holds a run's directory, by the caller's name for it where that is the real one."""
    named, real = run_directory.parent, run_directory.resolve().parent
    return named if named.resolve() == real else real


def write_index(folder: Path) -> Path:
    """Write the list of all runs in `folder` and return its path.

    Raise RunError if the folder cannot be read or written, or holds an `index.html` that this program did
    not make.
    """
    target = folder / INDEX
    try:
        with locked(folder):
            _check_ours(target)
            found, pairs = entries(folder), sorted(path.name for path in folder.glob(PAIRS))
            with matplotlib_cache.cache_in(folder):
                write(target, html(found, trends(found), where=folder, pairs=pairs))
    except OSError as error:
        raise RunError(f"{folder} cannot be read: {error.strerror}; name a folder that holds runs") from error
    return target


def _check_ours(target: Path) -> None:
    if target.exists() and f'content="{GENERATOR}"'.encode() not in target.read_bytes()[:_HEAD]:
        raise RunError(f"{target} is not a list of runs: move it away to have one written")
