"""A frame as a list of rows, and as groups of rows."""

from __future__ import annotations

from typing import Any, cast

import pandas as pd


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as mappings from column to value."""
    return cast("list[dict[str, Any]]", frame.to_dict("records"))


def groups(frame: pd.DataFrame, *columns: str) -> list[tuple[Any, pd.DataFrame]]:
    """The rows that agree in `columns`, each with its key: a tuple for several columns."""
    by: Any = columns[0] if len(columns) == 1 else list(columns)
    return list(frame.groupby(by, sort=False))
