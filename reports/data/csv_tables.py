"""A table of a run read into a frame with all columns of `bench.schema` and their types.

A missing file gives an empty table. Numbers keep `inf`, and text is cut at `LONGEST_TEXT`. A last line
without its newline is left out, since a number in it may be cut. `problems` gets whatever could not be read.
"""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from bench.schema import SCHEMA, Column, Dtype
from reports.data import old_runs
from reports.data.safe_text import LONGEST_TEXT, cut, one_line

#: How pandas holds each type.
KINDS: Mapping[Dtype, Literal["object", "float64", "boolean"]] = {
    "text": "object",
    "texts": "object",
    "integer": "float64",
    "number": "float64",
    "truth": "boolean",
}
#: Characters of one cell that are read at all; Python's csv stops at 131,072.
LONGEST_FIELD = 50_000_000

_TRUTH = {
    "true": True,
    "1": True,
    "1.0": True,
    "yes": True,
    "false": False,
    "0": False,
    "0.0": False,
    "no": False,
}


def read_table(directory: Path, name: str, problems: list[str]) -> pd.DataFrame:
    """Read the table `name` of a run directory; add what could not be read to `problems`."""
    path = directory / f"{name}.csv"
    frame = _rows(path, problems) if path.exists() else pd.DataFrame()
    columns = SCHEMA[name].columns
    lacking = [column.name for column in columns if column.name not in frame and not column.added]
    if lacking and len(frame):
        problems.append(f"{path.name} lacks {', '.join(lacking)}")
    return pd.DataFrame({column.name: _typed(frame, column) for column in columns})


def _rows(path: Path, problems: list[str]) -> pd.DataFrame:
    """The rows as text; a line with too many fields is left out and counted in `problems`."""
    left_out: list[list[str]] = []
    try:
        text = _whole_lines(path, problems)
        try:
            frame = _parsed(text, engine="c")
        except (pd.errors.ParserError, pd.errors.ParserWarning):
            # slow, but the only engine that hands over a bad line
            frame = _parsed(text, engine="python", on_bad_lines=left_out.append)
    except (OSError, ValueError, pd.errors.ParserError, pd.errors.ParserWarning) as error:
        problems.append(f"{path.name} cannot be read: {one_line(error)}")
        return pd.DataFrame()
    if left_out:
        problems.append(f"{path.name}: {len(left_out)} line(s) with too many fields left out")
    return frame


def _parsed(text: str, **options: Any) -> pd.DataFrame:
    with warnings.catch_warnings(), _long_fields():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # it would drop fields without a word
        frame: pd.DataFrame = pd.read_csv(
            io.StringIO(text), dtype=str, keep_default_na=False, index_col=False, **options
        )
        return frame


def _whole_lines(path: Path, problems: list[str]) -> str:
    """The text of a table up to its last newline."""
    content = path.read_bytes()
    text = content.decode("utf-8", "replace")
    if "\N{REPLACEMENT CHARACTER}" in text and not _is_utf8(content):
        problems.append(f"{path.name} holds bytes that are no UTF-8, shown as \N{REPLACEMENT CHARACTER}")
    whole, end, rest = text.rpartition("\n")
    if rest:
        problems.append(f"{path.name}: its last line is cut off and left out")
    return whole + end


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


@contextmanager
def _long_fields() -> Iterator[None]:
    """Raise the limit of a field, so that one huge cell does not fail the whole table."""
    before = csv.field_size_limit(LONGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _typed(frame: pd.DataFrame, column: Column) -> pd.Series[Any]:
    kind = KINDS[column.dtype]
    if column.name not in frame:
        found = old_runs.added_column(column.name, frame) if column.added else None
        missing = pd.Series([column.missing] * len(frame), index=frame.index, dtype="object")
        return (missing if found is None else found).astype(kind)
    values = frame[column.name].fillna("").astype(str)
    if kind == "object":
        longest = int(values.map(len).max()) if len(values) else 0
        return (values.map(cut) if longest > LONGEST_TEXT else values).astype(object)
    if kind == "boolean":
        return values.str.strip().str.lower().map(_TRUTH).astype("boolean")
    return pd.to_numeric(values, errors="coerce").astype("float64")
