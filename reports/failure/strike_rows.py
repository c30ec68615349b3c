"""Rows of `failures.csv` as mappings: sums and extremes that skip what is no number.

A cell takes a dozen sums over some five strikes; a frame for each would take as long as the rest of
the page.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.schema import split_texts

#: One strike, as a row of `failures.csv`.
Strike = Mapping[str, Any]


def total(strikes: Iterable[Strike], column: str) -> float:
    """The sum of the numbers in a column."""
    return float(sum(_known_numbers(strikes, column)))


def peak(strikes: Iterable[Strike], column: str) -> float:
    """The largest number in a column; NaN where there is none."""
    return max(_known_numbers(strikes, column), default=math.nan)


def numbers(strikes: Iterable[Strike], column: str) -> list[float]:
    """The numbers in a column, ascending."""
    return sorted(_known_numbers(strikes, column))


def distinct(strikes: Sequence[Strike], column: str) -> list[str]:
    """Each text once, in order, without empty ones."""
    return [str(text) for text in dict.fromkeys(strike[column] for strike in strikes) if text]


def noted(strikes: Sequence[Strike]) -> list[str]:
    """Each note once, in order."""
    cells = distinct(strikes, "note")
    return list(dict.fromkeys(note for cell in cells for note in split_texts(cell)))


def _known_numbers(strikes: Iterable[Strike], column: str) -> list[float]:
    return [value for strike in strikes if not math.isnan(value := float(strike[column]))]
