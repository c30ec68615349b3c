"""Gives matplotlib a temporary cache inside the run directory, removed after drawing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Where matplotlib puts its settings and its list of fonts.
VARIABLE = "MPLCONFIGDIR"


@contextmanager
def cache_in(directory: Path) -> Iterator[None]:
    """Point matplotlib at a temporary folder in `directory`; import it for the first time within.

    A folder named in MPLCONFIGDIR, as the Makefile does, is used instead: the list of fonts, which takes
    a second to make, then stays for the next report.
    """
    if os.environ.get(VARIABLE):
        yield
        return
    folder = directory / f".matplotlib-{os.getpid()}"
    try:  # before the folder is made: Ctrl-C may come right after that
        folder.mkdir(exist_ok=True)
        os.environ[VARIABLE] = str(folder)
        yield
    finally:
        os.environ.pop(VARIABLE, None)
        shutil.rmtree(folder, ignore_errors=True)
