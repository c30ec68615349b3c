"""The run directory: made once, written after every block.

See `bench.schema` for its files.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, cast

import pandas as pd
from filelock import FileLock, Timeout

from bench.atomic_write import replacement, write_atomically
from bench.errors import BenchError
from bench.schema import (
    HAND_OVER_ALONE,
    MANIFEST,
    SCHEMA,
    SCHEMA_VERSION,
    TABLES,
    Column,
    Manifest,
    join_texts,
)
from bench.storage.disk_space import check_space

#: The file that is locked by the process that writes the run, for as long as it does.
LOCK = ".lock"
#: Cells of a number, or of true or false, that are missing.
_MISSING_CELLS = ["", "nan", "NaN", "NA", "None", "null"]


class RunDirectory:
    """One run's folder under `results/`, with `results/latest` pointing at it."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest

    @classmethod
    def create(cls, out: Path, profile: str, manifest: Manifest) -> RunDirectory:
        """Make `<out>/<time>-<profile>/`; raise BenchError where it cannot be written."""
        try:
            out.mkdir(parents=True, exist_ok=True)
            check_space(out)
            path = _fresh_folder(out, f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%S}-{profile}")
        except OSError as error:
            raise BenchError(f"cannot write results to {out}: {error.strerror}; use --out") from error
        made = cls(path.resolve(), cast("Manifest", {**manifest, "schema": SCHEMA_VERSION, "run": path.name}))
        made.save_manifest()
        return made

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """Open a run that was made earlier; raise BenchError where it is none or is from a newer version."""
        try:
            manifest = json.loads((path / MANIFEST).read_text())
            schema = int(manifest["schema"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BenchError(f"{path} is not a complete run: no readable {MANIFEST} in it") from error
        if schema > SCHEMA_VERSION:
            raise BenchError(
                f"{path} has schema {schema}, this version reads up to {SCHEMA_VERSION}: upgrade"
            )
        return cls(path, manifest)

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Be the only process that writes this run; raise BenchError if another one does.

        The claim ends with the process, however it ends.
        """
        try:
            with FileLock(self.path / LOCK, blocking=False):
                try:
                    yield
                finally:
                    (self.path / LOCK).unlink(missing_ok=True)  # still held: a waiter sees that it went
        except Timeout:
            raise BenchError(f"{self.path} is being measured by another process: wait for its end") from None

    def save_manifest(self, **changes: Any) -> None:
        """Change fields of the manifest and write it in one step."""
        self.manifest = cast("Manifest", {**self.manifest, **changes})
        write_atomically(self.path / MANIFEST, json.dumps(self.manifest, indent=2) + "\n")

    def append(self, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append rows to a table of `bench.schema`; a column that a row does not name is missing.

        A file that was begun before a column came goes on without it. Raise ValueError for a column
        that the schema does not know.
        """
        path = self.path / f"{table}.csv"
        begun = _header(path)
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, begun or TABLES[table], restval="", extrasaction="ignore")
            if not begun:
                writer.writeheader()
            writer.writerows(_cells(table, row) for row in rows)

    def append_frame(self, table: str, frame: pd.DataFrame) -> None:
        """Append a frame to a table; an empty one changes nothing."""
        if not frame.empty:
            self.append(table, cast("list[dict[str, Any]]", frame.to_dict("records")))

    def replace(self, table: str, frame: pd.DataFrame) -> None:
        """Write a whole table in one step."""
        write_atomically(self.path / f"{table}.csv", frame.to_csv(index=False, columns=list(TABLES[table])))

    def table(self, table: str) -> pd.DataFrame:
        """Read a table, each column of its type; an absent one is empty, and what it lacks is missing.

        A cell of a number that holds none is missing too. Columns that the schema does not know come
        last. Raise BenchError where the file is no table.
        """
        path, columns = self.path / f"{table}.csv", SCHEMA[table].columns
        texts = dict.fromkeys(SCHEMA[table].texts(), "str")
        others = {column.name: _MISSING_CELLS for column in columns if column.name not in texts}
        try:
            found = (
                pd.read_csv(path, dtype=texts, keep_default_na=False, na_values=others)
                if path.exists()
                else pd.DataFrame(columns=list(TABLES[table]))
            )
        except (OSError, ValueError) as error:  # pandas' own errors of reading are ValueErrors
            raise BenchError(
                f"{path} cannot be read ({' '.join(str(error).split())}): mend the line, or measure again"
            ) from error
        unknown = {str(name): found[name] for name in found if name not in TABLES[table]}
        frame = pd.DataFrame({column.name: _typed(found, column) for column in columns} | unknown)
        is_old = int(self.manifest.get("schema", SCHEMA_VERSION)) < HAND_OVER_ALONE
        return _without_mixed_caller_cost(frame) if is_old else frame

    def point_latest(self) -> None:
        """Let `latest` beside this directory point at it."""
        link = self.path.parent / "latest"
        with replacement(link) as fresh:
            fresh.symlink_to(self.path.name)


def _header(path: Path) -> list[str]:
    """The columns of a file; none where it is absent or empty."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return next(csv.reader(file), [])


def _cells(table: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """The row as it is written; raise ValueError for a column that is not in the schema."""
    if unknown := row.keys() - set(TABLES[table]):
        raise ValueError(f"{table} has no column {', '.join(sorted(unknown))}")
    listed = [column.name for column in SCHEMA[table].columns if column.dtype == "texts"]
    return {**row, **{name: join_texts(row[name]) for name in listed if name in row}}


def _typed(found: pd.DataFrame, column: Column) -> pd.Series[Any]:
    is_number = column.dtype in {"integer", "number"}
    if column.name not in found:
        kind = "float64" if is_number else "object"
        return pd.Series([column.missing] * len(found), index=found.index, dtype=kind)
    if is_number:
        return pd.to_numeric(found[column.name], errors="coerce")
    return found[column.name]


def _without_mixed_caller_cost(frame: pd.DataFrame) -> pd.DataFrame:
    """Leave out the caller cost of the welcome e-mail, which contained the INSERT of its user."""
    if "scenario" not in frame:
        return frame
    of_mail = frame["scenario"] == "welcome_email"
    kept = frame[~(of_mail & (frame["metric"] == "caller"))] if "metric" in frame else frame
    columns = [column for column in ("caller_ms", "caller_max_ms") if column in frame]
    return kept.assign(**{column: kept[column].mask(of_mail) for column in columns})


def _fresh_folder(out: Path, name: str) -> Path:
    """Make the folder of that name, or of the first free one like it: two runs may start in one second."""
    for number in count(1):
        path = out / (name if number == 1 else f"{name}-{number}")
        with suppress(FileExistsError):
            path.mkdir()
            return path
    raise AssertionError  # the count has no end
