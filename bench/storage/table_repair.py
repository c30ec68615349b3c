"""Repair the tables of a run that was cut off: remove a partial last row, and unwanted rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

from bench.atomic_write import replacement


def mend(path: Path, stays: Callable[[dict[str, str]], bool] = lambda _row: True) -> None:
    """Rewrite a table with the complete rows for which `stays` is true, byte for byte.

    A process that was killed while it wrote may have left a partial row. The file is replaced in one step,
    and deleted if its header is not complete. A file that does not exist is no error.
    """
    if not path.exists():
        return
    with path.open(newline="") as file:
        text = file.read()
    header, *rows = [*csv.reader(io.StringIO(text[: text.rfind("\n") + 1], newline=""))] or [[]]
    if not header:
        path.unlink()
        return
    kept = [row for row in rows if len(row) == len(header) and stays(dict(zip(header, row, strict=True)))]
    with replacement(path) as fresh, fresh.open("w", newline="") as file:
        csv.writer(file).writerows([header, *kept])
