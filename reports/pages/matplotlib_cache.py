"""Keeps what matplotlib writes for itself inside the run directory, and only while it draws."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Where matplotlib puts its settings and its list of fonts.
VARIABLE = "MPLCONFIGDIR"


@contextmanager
def kept_in(directory: Path) -> Iterator[None]:
    """Point matplotlib at a temporary folder in `directory`; import it within, for the first time.

    Someone who names a folder in MPLCONFIGDIR, as the Makefile does, has it used: the list of fonts,
    which takes a second to make, is then kept.
    """
    if os.environ.get(VARIABLE):
        yield
        return
    with tempfile.TemporaryDirectory(prefix=".matplotlib-", dir=directory) as folder:
        os.environ[VARIABLE] = folder
        try:
            yield
        finally:
            os.environ.pop(VARIABLE)
