"""Mending the tables of a run that was cut off: a last row that is not whole, rows that are not to stay."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

from bench.atomic_write import replacement


def mend(path: Path, stays: Callable[[dict[str, str]], bool] = lambda _row: True) -> None:
    """Write the table again with the whole rows that stay, byte for byte; one without a header goes.

    A process that was killed while it wrote may have left a row without its end or its columns.
    The file is replaced in one step. Nothing happens where there is none.
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
