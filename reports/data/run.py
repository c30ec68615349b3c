"""A run directory read into frames. Only a missing or unreadable manifest is an error.

`Run.problems` lists what else could not be read; the report prints it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from bench.schema import CHECKS, HAND_OVER_ALONE, MICRO, TABLES
from reports.data import old_runs
from reports.data.csv_tables import read_table
from reports.data.manifest import read_manifest
from reports.data.safe_text import json_of, one_line

#: The fields of a threshold's outcome.
CHECK_FIELDS = ("text", "subject", "value", "met")


@dataclass(frozen=True, slots=True)
class Run:
    """One run: its manifest, its tables, its call costs, and what could not be read.

    `checks` are the outcomes of the thresholds that were last checked, and `fingerprint` is the SHA-256
    of the manifest.
    """

    directory: Path
    manifest: Mapping[str, Any]
    tables: Mapping[str, pd.DataFrame]
    micro: tuple[Mapping[str, Any], ...]
    problems: tuple[str, ...]
    checks: tuple[Mapping[str, Any], ...] = ()
    fingerprint: str = ""
    _counted: dict[str, pd.DataFrame] = field(init=False, default_factory=dict, repr=False, compare=False)

    def table(self, name: str) -> pd.DataFrame:
        """A table without the rows of invalid blocks."""
        if name not in self._counted:
            frame = self.tables[name]
            if name != "blocks" and "block" in frame:
                frame = frame[~frame["block"].isin(self.invalid_blocks()["block"])]
            self._counted[name] = frame
        return self._counted[name]

    def valid_blocks(self) -> pd.DataFrame:
        """The valid blocks; a block without the column `valid` is one."""
        return self.tables["blocks"][self._counts()]

    def invalid_blocks(self) -> pd.DataFrame:
        """The invalid blocks, each with its reason."""
        return self.tables["blocks"][~self._counts()]

    def _counts(self) -> pd.Series[bool]:
        return self.tables["blocks"]["valid"].fillna(value=True).astype(bool)

    def texts(self, field: str) -> list[str]:
        """A manifest field that is a list of texts; empty if it is absent or something else."""
        value = self.manifest.get(field)
        return [str(item) for item in value] if isinstance(value, list) else []

    def mapping(self, field: str) -> dict[str, Any]:
        """A manifest field that is an object; empty if it is absent or something else."""
        value = self.manifest.get(field)
        return value if isinstance(value, dict) else {}

    def text(self, field: str) -> str | None:
        """A manifest field that is text; None if it is absent or something else."""
        value = self.manifest.get(field)
        return value if isinstance(value, str) else None

    @property
    def cut_lines(self) -> list[str]:
        """The ledger lines that were cut off, each after the name of its block."""
        found = self.manifest.get("cut_lines")
        lines = found if isinstance(found, list) else []
        return [
            f"{line.get('block', '')}: {line.get('line', '')}" if isinstance(line, dict) else str(line)
            for line in lines
        ]

    @property
    def profile(self) -> str:
        """The profile's name; "unknown" if the manifest has none."""
        return str(self.manifest.get("profile") or "unknown")


def read(directory: Path) -> Run:
    """Read a run directory; raise RunError if it has no manifest that this version can read."""
    manifest, fingerprint = read_manifest(directory)
    problems: list[str] = []
    tables = {name: read_table(directory, name, problems) for name in TABLES}
    tables["comparisons"] = old_runs.called(tables["comparisons"])
    if manifest["schema"] < HAND_OVER_ALONE:
        tables = old_runs.without_mixed_caller_cost(tables)
    micro = _micro(directory / MICRO, problems)
    checks = _checks(directory / CHECKS, problems)
    return Run(directory, manifest, tables, micro, tuple(problems), checks, fingerprint)


def _micro(path: Path, problems: list[str]) -> tuple[Mapping[str, Any], ...]:
    """The benchmarks that have a median; pytest-benchmark's times are seconds."""
    if not path.exists():
        return ()
    try:
        found = json_of(path.read_bytes())
        benchmarks = [item for item in found["benchmarks"] if math.isfinite(float(item["stats"]["median"]))]
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        problems.append(f"{path.name} cannot be read: {one_line(error)}")
        return ()
    return tuple(benchmarks)


def _checks(path: Path, problems: list[str]) -> tuple[Mapping[str, Any], ...]:
    """The outcomes of thresholds; the text "inf" becomes infinity."""
    if not path.exists():
        return ()
    try:
        found = [{field: item[field] for field in CHECK_FIELDS} for item in json_of(path.read_bytes())]
    except (OSError, ValueError, KeyError, TypeError) as error:
        problems.append(f"{path.name} cannot be read: {one_line(error)}")
        return ()
    return tuple(item | {"value": math.inf} if item["value"] == "inf" else item for item in found)
