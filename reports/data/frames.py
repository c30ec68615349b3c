"""A frame as a list of rows, and as groups of rows."""

from __future__ import annotations

from typing import Any, cast

import pandas as pd

from bench.schema import SIDES


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as mappings from column to value."""
    return cast("list[dict[str, Any]]", frame.to_dict("records"))


def groups(frame: pd.DataFrame, *columns: str) -> list[tuple[Any, pd.DataFrame]]:
    """The rows that agree in `columns`, each with its key: a tuple for several columns.

    Sides come in the order of the schema, any other column in that of the table.
    """
    by: Any = columns[0] if len(columns) == 1 else list(columns)
    found: list[tuple[Any, pd.DataFrame]] = list(frame.groupby(by, sort=False))
    if "side" not in columns:
        return found
    keys = [(key,) if len(columns) == 1 else key for key, _ in found]
    ranks = (
        [
            {
                value: place
                for place, value in enumerate(dict.fromkeys((*(SIDES if column == "side" else ()), *own)))
            }
            for column, own in zip(columns, zip(*keys, strict=True), strict=True)
        ]
        if keys
        else []
    )
    order = sorted(
        range(len(found)), key=lambda at: [rank[part] for rank, part in zip(ranks, keys[at], strict=True)]
    )
    return [found[at] for at in order]
