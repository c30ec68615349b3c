"""Rates and spans of time as a person writes them: `50/s`, `3000/min`, `500ms`, `2s`. Pure."""

from __future__ import annotations

import math
import re

from bench.errors import BenchError

_NUMBER = r"(\d+(?:\.\d+)?)"
_RATE = re.compile(rf"\s*{_NUMBER}\s*(?:/\s*(s|sec|min|m|h))?\s*")
_SPAN = re.compile(rf"\s*{_NUMBER}\s*(ms|s|min|m|h)?\s*")
#: Seconds of each unit.
_SECONDS = {"ms": 0.001, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def rate(value: object, *, where: str) -> float:
    """Calls a second; a bare number is a second's. Raise BenchError that begins with `where`."""
    found = _RATE.fullmatch(_text(value))
    amount = float(found[1]) / _SECONDS[found[2] or "s"] if found else math.nan
    if not amount > 0:
        raise BenchError(f"{where} is {_shown(value)}: expected a rate above 0, such as 50/s or 3000/min")
    return amount


def seconds(value: object, *, where: str) -> float:
    """A span of time in seconds; a bare number is seconds. Raise BenchError that begins with `where`."""
    found = _SPAN.fullmatch(_text(value))
    amount = float(found[1]) * _SECONDS[found[2] or "s"] if found else math.nan
    if not amount > 0:
        raise BenchError(f"{where} is {_shown(value)}: expected a time above 0, such as 500ms or 2s")
    return amount


def weight(value: object, *, where: str) -> float:
    """A task's share beside the others'. Raise BenchError that begins with `where`."""
    try:
        amount = float(_text(value))
    except ValueError:
        amount = math.nan
    if not (amount > 0 and math.isfinite(amount)):
        raise BenchError(f"{where} is {_shown(value)}: expected a number above 0")
    return amount


def _text(value: object) -> str:
    """A boolean is a number to Python, not to a person."""
    return "" if isinstance(value, bool) else str(value)


def _shown(value: object) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)
