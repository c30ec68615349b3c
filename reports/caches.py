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
    """Point matplotlib at a temporary folder in `directory`; import it within, for the first time."""
    before = os.environ.get(VARIABLE)
    with tempfile.TemporaryDirectory(prefix=".matplotlib-", dir=directory) as folder:
        os.environ[VARIABLE] = folder
        try:
            yield
        finally:
            os.environ.pop(VARIABLE)
            if before is not None:
                os.environ[VARIABLE] = before
