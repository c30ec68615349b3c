"""Two runs and the figures that both have, read from what `queue-or-task compare` wrote."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.schema import COMPARISON, Dtype
from reports.data.csv_tables import KINDS
from reports.data.errors import RunError
from reports.data.run import Run, read
from reports.data.safe_text import LONGEST_TEXT
from reports.summary.plain import number


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Run A, run B, whether their blocks are paired, and B over A for each figure that both have."""

    a: Run
    b: Run
    how: str
    rows: pd.DataFrame

    @property
    def names(self) -> tuple[str, str]:
        """What the runs are called."""
        return name(self.a), name(self.b)

    @property
    def runs(self) -> tuple[tuple[str, Run], tuple[str, Run]]:
        """Each run with its letter."""
        return ("A", self.a), ("B", self.b)


def name(run: Run) -> str:
    """A run's own name."""
    return run.text("run") or run.directory.name


def read_pair(figures: Path) -> Pair:
    """Read the file and both runs; raise RunError where one of them cannot be read."""
    try:
        found = json.loads(figures.read_text(encoding="utf-8"))
        folders = [figures.parent / str(found[letter]) for letter in "ab"]
        how, rows = str(found["how"]), [dict(row) for row in found["rows"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RunError(
            f"{figures} is not what a comparison writes ({type(error).__name__}): compare the runs again"
        ) from error
    a, b = (read(folder) for folder in folders)
    if a.manifest["schema"] != b.manifest["schema"]:
        raise RunError(
            f"{a.directory} has schema {a.manifest['schema']} and {b.directory} has {b.manifest['schema']}: "
            "measure the older one again with this version"
        )
    return Pair(a=a, b=b, how=how, rows=_frame(rows))


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """The rows with every column of the schema, as text or as number."""
    columns = {
        column.name: [_READ[column.dtype](row.get(column.name)) for row in rows]
        for column in COMPARISON.columns
    }
    return pd.DataFrame(columns).astype({column.name: KINDS[column.dtype] for column in COMPARISON.columns})


def _text(value: object) -> str:
    return "" if value is None else str(value)[:LONGEST_TEXT]


def _truth(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


_READ: Mapping[Dtype, Callable[[object], object]] = {
    "text": _text,
    "texts": _text,
    "integer": number,
    "number": number,
    "truth": _truth,
}
