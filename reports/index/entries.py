"""The runs of a folder: an entry for each that can be read, and the reason for each that cannot.

The entry of a finished run comes from its `summary.json` if that was made from the same manifest; any
other entry comes from the tables.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.schema import MACHINE_IDENTITY, MANIFEST, REPORT, SUMMARY_JSON, SUMMARY_MD
from reports.data.errors import RunError
from reports.data.manifest import read_manifest
from reports.data.run import read
from reports.summary import SUMMARY_VERSION, summary
from reports.summary.plain import number

#: Digits of a commit that a person reads.
COMMIT_DIGITS = 10
#: The name of a run's folder: its start and its profile.
_NAME = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-")
_FILES = (REPORT, SUMMARY_MD, SUMMARY_JSON, MANIFEST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A headline figure of a run."""

    key: str
    scenario: str
    side: str
    policy: str
    unit: str
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One run. `machine` is its identity; a text is empty if the manifest does not have it."""

    folder: str
    name: str
    started: str  # as "2026-11-28 17:06", UTC
    order: float  # the moment in seconds since 1970; 0 where it is not recorded
    minutes: float
    profile: str
    commit: str
    machine: tuple[str, ...]
    choices: tuple[tuple[str, str], ...]
    points: tuple[Point, ...]
    stamps: tuple[str, ...]
    problems: int
    files: tuple[str, ...]

    @property
    def machine_summary(self) -> str:
        """Cores, memory, processor and system in a line."""
        cores, memory, *rest = self.machine
        parts = [cores and f"{cores} cores", memory and f"{memory} GB", *rest]
        return ", ".join(filter(None, parts)) or "machine not recorded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A folder that holds no run that this version can read."""

    folder: str
    why: str


def entries(folder: Path) -> list[Entry | Unreadable]:
    """The runs of a folder, newest first, then those that cannot be read. Raise OSError without a folder."""
    found = [entry(path) for path in sorted(folder.iterdir()) if _is_run(path)]
    runs = sorted((e for e in found if isinstance(e, Entry)), key=lambda e: (e.order, e.folder), reverse=True)
    return [*runs, *(e for e in found if isinstance(e, Unreadable))]


def entry(path: Path) -> Entry | Unreadable:
    """The entry of one run."""
    files = tuple(name for name in _FILES if (path / name).is_file())
    try:
        kept = _kept(path)
        if kept is not None:
            try:
                return _entry(path.name, kept, files)
            except (KeyError, TypeError, ValueError, AttributeError):
                pass  # a summary of another shape: the tables are read instead
        return _entry(path.name, summary(read(path)), files)
    except RunError as error:
        return Unreadable(folder=path.name, why=" ".join(str(error).split()))
    except OSError as error:
        return Unreadable(folder=path.name, why=f"cannot be read: {error.strerror}")


def _is_run(path: Path) -> bool:
    """Whether a folder is a run or the rest of one; the link `latest` is not a second run."""
    if path.is_symlink() or path.name.startswith(".") or not path.is_dir():
        return False
    return (path / MANIFEST).exists() or bool(_NAME.match(path.name))


def _kept(path: Path) -> dict[str, Any] | None:
    """The summary in the run's directory if it belongs to the run's present manifest; else None."""
    manifest, fingerprint = read_manifest(path)
    if not manifest.get("finished_at"):
        return None
    try:
        kept = json.loads((path / SUMMARY_JSON).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    same = isinstance(kept, dict) and kept.get("summary") == SUMMARY_VERSION
    return kept if same and kept.get("manifest_sha256") == fingerprint else None


def _entry(folder: str, found: dict[str, Any], files: tuple[str, ...]) -> Entry:
    started, finished = _time(found["started_at"]), _time(found["finished_at"])
    seconds = (finished - started).total_seconds() if started and finished else float("nan")
    commit = str(found["commit"])[:COMMIT_DIGITS] + (" with changes" if found["dirty"] else "")
    return Entry(
        folder=folder,
        name=str(found["run"]),
        started=f"{started:%Y-%m-%d %H:%M}" if started else "start not recorded",
        order=started.timestamp() if started else 0.0,
        minutes=seconds / 60,
        profile=str(found["profile"]),
        commit=commit,
        machine=tuple(_text(found["machine"][name]) for name in MACHINE_IDENTITY),
        choices=tuple((str(item["scenario"]), str(item["choice"])) for item in found["verdicts"]),
        points=tuple(_point(item) for item in found["figures"]),
        stamps=tuple(map(str, found["stamps"])),
        problems=len(found["problems"]),
        files=files,
    )


def _point(item: dict[str, Any]) -> Point:
    return Point(
        key=str(item["key"]),
        scenario=str(item["scenario"]),
        side=str(item["side"]),
        policy=str(item["policy"]),
        unit=str(item["unit"]),
        value=number(item["value"]),
        low=number(item["low"]),
        high=number(item["high"]),
    )


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _time(value: object) -> datetime | None:
    """A moment of the manifest; None without a time zone, since it cannot be ordered among others."""
    try:
        moment = datetime.fromisoformat(str(value))
        return moment.astimezone(UTC) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None
