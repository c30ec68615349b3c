"""Runs of earlier versions: their sentences, parsed into today's columns and fields.

This is the only place of the reports that parses a sentence. Runs of today have the columns.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pandas as pd

_MAIL = "welcome_email"
#: Why a comparison had too few pairs.
_NEEDED = re.compile(r"\d+ pairs of blocks, (\d+) are needed")
#: A count of a checker in the column `seen`.
_BURSTS = re.compile(r"\bbursts (\d+)")
#: A fault block's name: `f10-0-inprocess`, with c for a control run.
_FAULT_BLOCK = re.compile(r"f(\d+)-(\d+|c)-")
#: A truth of the manifest's `instrument`: what was reported, and the outcome with its reason.
_TRUTH = re.compile(
    r"(?P<figures>.*): (?P<outcome>held|NOT HELD|too noisy to say)(?: \((?P<why>.*)\))?", re.DOTALL
)
#: Fields of the manifest's `instrument` that are no truth.
_ABOUT = ("known truth", "verified at", "verified commit")


def added_column(column: str, frame: pd.DataFrame) -> pd.Series[Any] | None:
    """The column that a table lacks, parsed from another column; None if that is not possible."""
    source, read = _COLUMNS.get(column, ("", _nothing))
    if source not in frame:
        return None
    return pd.Series([read(str(cell)) for cell in frame[source]], index=frame.index, dtype="object")


def called(comparisons: pd.DataFrame) -> pd.DataFrame:
    """The comparisons with "too few pairs" where an earlier version wrote "too noisy to say" for it."""
    too_few = comparisons["pairs"] < comparisons["pairs_needed"]
    words = comparisons["words"].mask(too_few & (comparisons["words"] == "too noisy to say"), "too few pairs")
    return comparisons.assign(words=words)


def without_mixed_caller_cost(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The tables without the caller cost of the welcome e-mail, which contained the INSERT of its user."""
    found = {}
    for name, frame in tables.items():
        of_mail = (
            frame["scenario"] == _MAIL if "scenario" in frame else pd.Series(data=False, index=frame.index)
        )
        kept = frame[~(of_mail & (frame["metric"] == "caller"))] if "metric" in frame else frame
        columns = [column for column in ("caller_ms", "caller_max_ms") if column in frame]
        found[name] = kept.assign(**{column: kept[column].mask(of_mail) for column in columns})
    return found


def truths(found: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """The truths of a manifest whose `instrument` holds sentences."""
    for name, sentence in found.items():
        if name in _ABOUT:
            continue
        parts = _TRUTH.fullmatch(str(sentence))
        known = parts.groupdict(default="") if parts else {"figures": str(sentence), "outcome": "", "why": ""}
        yield {"truth": str(name), **known}


def floor_scenario(figure: str) -> str:
    """The scenario of `aa_figure`, as in "inprocess account_setup response 0.5"; empty if it has none."""
    words = figure.split()
    return words[1] if len(words) > 1 else ""


def _bursts(seen: str) -> float:
    found = _BURSTS.search(seen)
    return float(found[1]) if found else math.nan


def _needed(why: str) -> float:
    found = _NEEDED.fullmatch(why)
    return float(found[1]) if found else math.nan


def _fault(block: str) -> float:
    found = _FAULT_BLOCK.match(block)
    return float(found[1]) if found else math.nan


def _is_control(block: str) -> bool | None:
    found = _FAULT_BLOCK.match(block)
    return found[2] == "c" if found else None


def _nothing(_: str) -> None:
    return None


_COLUMNS: Mapping[str, tuple[str, Callable[[str], object]]] = {
    "bursts": ("seen", _bursts),
    "fault": ("block", _fault),
    "control": ("block", _is_control),
    "pairs_needed": ("why", _needed),
}
