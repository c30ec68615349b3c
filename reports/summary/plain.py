"""Values that JSON can hold: no NaN, no infinity, no NumPy type."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any


def plain(value: object) -> Any:
    """`value` as objects, lists, text, numbers, true, false and null.

    NaN is null: not measured. An infinity is the text "inf" or "-inf": not by the limit.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        return int(value)
    return _number(float(value)) if isinstance(value, float) else str(value)


def _number(value: float) -> float | str | None:
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else str(value)


def number(value: object) -> float:
    """The inverse of `plain` for a number; NaN for null and for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan


def dumps(value: object) -> str:
    """The JSON text of `plain(value)`; the same value gives the same text."""
    return json.dumps(plain(value), indent=2, allow_nan=False) + "\n"
