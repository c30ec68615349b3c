"""A run directory read into frames, tolerant of everything but a missing manifest.

Every table comes back with all columns of `bench.schema.TABLES` and their types: text, true or
false, or number (`inf` kept). A table that is absent is empty. What could not be read is told in
`Run.problems`, and the report prints it where the reader looks for the figure. Text is cut at
`LONGEST_TEXT`, and a last line without its end is left out: the number in it may be cut too.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from bench.schema import CHECKS, MANIFEST, MICRO, SCHEMA_VERSION, TABLES
from reports.errors import RunError

#: Columns that hold words; every other column is a number, but for TRUTHS.
TEXTS = frozenset(
    {
        *(
            "block",
            "measure",
            "side",
            "reason",
            "scenario",
            "job",
            "outcome",
            "request",
            "metric",
            "baseline",
        ),
        *("words", "why", "policy", "owner", "slug", "at_least_once", "at_most_once", "predicted"),
        *("as_predicted", "note", "limited_by", "place", "seen", "example"),
    }
)
#: Columns that are true or false.
TRUTHS = frozenset({"valid", "duplicate", "sum_ok", "app_died", "held", "overloaded"})

#: Characters of one cell that are kept; a longer text is cut.
LONGEST_TEXT = 2_000
#: Characters of one cell that are read at all; Python's csv stops at 131,072.
LONGEST_FIELD = 50_000_000
#: What a threshold's outcome has to tell.
CHECK_FIELDS = ("text", "subject", "value", "met")

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


@dataclass(frozen=True, slots=True)
class Run:
    """One run: its manifest, its tables, its call costs, and what could not be read.

    `checks` is what became of the thresholds that it was last held against, and `fingerprint` the
    SHA-256 of its manifest.
    """

    directory: Path
    manifest: Mapping[str, Any]
    tables: Mapping[str, pd.DataFrame]
    micro: tuple[Mapping[str, Any], ...]
    problems: tuple[str, ...]
    checks: tuple[Mapping[str, Any], ...] = ()
    fingerprint: str = ""
    _counted: dict[str, pd.DataFrame] = field(default_factory=dict, repr=False, compare=False)

    def table(self, name: str) -> pd.DataFrame:
        """A table without the rows of blocks that do not count."""
        if name not in self._counted:
            frame = self.tables[name]
            if name != "blocks" and "block" in frame:
                frame = frame[~frame["block"].isin(self.invalid_blocks()["block"])]
            self._counted[name] = frame
        return self._counted[name]

    def valid_blocks(self) -> pd.DataFrame:
        """The blocks that count; one that does not say counts."""
        return self.tables["blocks"][self._counts()]

    def invalid_blocks(self) -> pd.DataFrame:
        """The blocks that do not count, each with its reason."""
        return self.tables["blocks"][~self._counts()]

    def _counts(self) -> pd.Series[bool]:
        return self.tables["blocks"]["valid"].fillna(value=True).astype(bool)

    def texts(self, field: str) -> list[str]:
        """A manifest field that is a list of words; empty where it is absent or something else."""
        value = self.manifest.get(field)
        return [str(item) for item in value] if isinstance(value, list) else []

    def mapping(self, field: str) -> dict[str, Any]:
        """A manifest field that is an object; empty where it is absent or something else."""
        value = self.manifest.get(field)
        return value if isinstance(value, dict) else {}

    def text(self, field: str) -> str | None:
        """A manifest field that is text; None where it is absent or something else."""
        value = self.manifest.get(field)
        return value if isinstance(value, str) else None

    @property
    def profile(self) -> str:
        """The profile's name; "unknown" where the manifest has none."""
        return str(self.manifest.get("profile") or "unknown")


def read(directory: Path) -> Run:
    """Read a run directory; raise RunError where it has no manifest that this version can read."""
    manifest, fingerprint = read_manifest(directory)
    problems: list[str] = []
    tables = {name: _table(directory, name, problems) for name in TABLES}
    micro = _micro(directory / MICRO, problems)
    checks = _checks(directory / CHECKS, problems)
    return Run(directory, manifest, tables, micro, tuple(problems), checks, fingerprint)


def read_manifest(directory: Path) -> tuple[dict[str, Any], str]:
    """The manifest and the SHA-256 of its bytes; raise RunError where this version cannot read it."""
    path = directory / MANIFEST
    if not path.is_file():
        raise RunError(f"{directory} is not a complete run: no {MANIFEST} in it; name a run under results/")
    try:
        content = path.read_bytes()
        manifest = _json(content)
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read ({_one_line(error)}); run the bench again") from error
    schema = manifest.get("schema") if isinstance(manifest, dict) else None
    if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
        raise RunError(f"{path} names no schema: name a run of queue-or-task")
    if schema > SCHEMA_VERSION:
        raise RunError(
            f"{path} has schema {schema}, this version reads up to {SCHEMA_VERSION}: upgrade queue-or-task"
        )
    return dict(manifest), hashlib.sha256(content).hexdigest()


def _json(content: bytes) -> Any:
    """What a JSON file holds, its text fit to be printed; raise ValueError where it is none."""
    try:
        return _printable(json.loads(content.decode("utf-8")))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _printable(value: Any) -> Any:
    """The value with text that UTF-8 can hold, cut where it is longer than anybody reads.

    A whole number too large for arithmetic becomes text.
    """
    if isinstance(value, int) and abs(value) > sys.float_info.max:
        return _cut(str(value))
    if isinstance(value, str):
        return _cut(value.encode("utf-8", "replace").decode("utf-8"))
    if isinstance(value, list):
        return [_printable(item) for item in value]
    if isinstance(value, dict):
        return {_printable(key): _printable(item) for key, item in value.items()}
    return value


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}… ({len(text):,} characters)"


def _table(directory: Path, name: str, problems: list[str]) -> pd.DataFrame:
    path = directory / f"{name}.csv"
    frame = _rows(path, problems) if path.exists() else pd.DataFrame()
    lacking = [column for column in TABLES[name] if column not in frame]
    if lacking and len(frame):
        problems.append(f"{path.name} lacks {', '.join(lacking)}")
    return pd.DataFrame({column: _typed(frame, column) for column in TABLES[name]})


def _rows(path: Path, problems: list[str]) -> pd.DataFrame:
    """The rows as text; a line with too many fields is left out and told."""
    left_out: list[list[str]] = []
    try:
        text = _whole_lines(path, problems)
        try:
            frame = _parsed(text, engine="c")
        except (pd.errors.ParserError, pd.errors.ParserWarning):
            # slow, but the one engine that hands over a bad line
            frame = _parsed(text, engine="python", on_bad_lines=left_out.append)
    except (OSError, ValueError, pd.errors.ParserError, pd.errors.ParserWarning) as error:
        problems.append(f"{path.name} cannot be read: {_one_line(error)}")
        return pd.DataFrame()
    if left_out:
        problems.append(f"{path.name}: {len(left_out)} line(s) with too many fields left out")
    return frame


def _parsed(text: str, **options: Any) -> pd.DataFrame:
    with warnings.catch_warnings(), _long_fields():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # it would drop fields without a word
        return pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False, index_col=False, **options)


def _whole_lines(path: Path, problems: list[str]) -> str:
    """The text of a table up to the end of its last whole line."""
    content = path.read_bytes()
    text = content.decode("utf-8", "replace")
    if "\N{REPLACEMENT CHARACTER}" in text and not _is_utf8(content):
        problems.append(f"{path.name} holds bytes that are no UTF-8, shown as \N{REPLACEMENT CHARACTER}")
    whole, end, cut = text.rpartition("\n")
    if cut:
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
    """Let one enormous cell not cost the whole table."""
    before = csv.field_size_limit(LONGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _typed(frame: pd.DataFrame, column: str) -> pd.Series[Any]:
    kind = _kind(column)
    if column not in frame:
        filler: Any = "" if kind == "object" else None
        return pd.Series([filler] * len(frame), index=frame.index, dtype=kind)
    values = frame[column].fillna("").astype(str)
    if kind == "object":
        longest = int(values.map(len).max()) if len(values) else 0
        return (values.map(_cut) if longest > LONGEST_TEXT else values).astype(object)
    if kind == "boolean":
        return values.str.strip().str.lower().map(_TRUTH).astype("boolean")
    return pd.to_numeric(values, errors="coerce").astype("float64")


def _kind(column: str) -> str:
    if column in TEXTS:
        return "object"
    return "boolean" if column in TRUTHS else "float64"


def _micro(path: Path, problems: list[str]) -> tuple[Mapping[str, Any], ...]:
    """The benchmarks that have a median; pytest-benchmark's times are seconds."""
    if not path.exists():
        return ()
    try:
        found = _json(path.read_bytes())
        benchmarks = [item for item in found["benchmarks"] if math.isfinite(float(item["stats"]["median"]))]
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        problems.append(f"{path.name} cannot be read: {_one_line(error)}")
        return ()
    return tuple(benchmarks)


def _checks(path: Path, problems: list[str]) -> tuple[Mapping[str, Any], ...]:
    """The outcomes of thresholds; a value that JSON tells as "inf" is one again."""
    if not path.exists():
        return ()
    try:
        found = [{field: item[field] for field in CHECK_FIELDS} for item in _json(path.read_bytes())]
    except (OSError, ValueError, KeyError, TypeError) as error:
        problems.append(f"{path.name} cannot be read: {_one_line(error)}")
        return ()
    return tuple(item | {"value": math.inf} if item["value"] == "inf" else item for item in found)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
