"""What `compare` leaves behind: `compare-A-B.json` with its figures, and the page made of it.

The page is made by `reports`, as a program: the file is all that the two rooms share.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
from pathlib import Path
from typing import Any

from bench.analysis.report_program import display_path
from bench.analysis.run_comparison import Compared, records
from bench.atomic_write import write_atomically
from bench.errors import BenchError
from bench.schema import SCHEMA_VERSION
from queue_or_task import module_command


def page_path(a: Path, b: Path) -> Path:
    """Where the page goes that nobody named: beside A's directory, by the names of both."""
    return display_path(a.resolve().parent / f"compare-{a.resolve().name}-{b.resolve().name}.html")


def write_page(found: Compared, page: Path) -> int:
    """Write the figures beside `page`, and have the page made; its exit code.

    Raise BenchError where they cannot be written there.
    """
    if page.suffix != ".html":
        raise BenchError(f"{page} is no name for a page: let it end in .html")
    figures = page.with_suffix(".json")
    try:
        write_atomically(figures, json.dumps(summary(found, page.parent), indent=2, allow_nan=False) + "\n")
    except OSError as error:
        raise BenchError(f"cannot write {figures}: {error.strerror}; use --out") from error
    return subprocess.run(module_command("reports.versus", str(figures)), check=False).returncode


def summary(found: Compared, folder: Path) -> dict[str, Any]:
    """What the file says, with the ways to both runs from the folder that it lies in."""
    return {
        "schema": SCHEMA_VERSION,
        "a": os.path.relpath(found.a.resolve(), folder.resolve()),
        "b": os.path.relpath(found.b.resolve(), folder.resolve()),
        "how": found.how,
        "rows": [{name: plain(value) for name, value in row.items()} for row in records(found.table)],
    }


def plain(value: Any) -> Any:
    """A value as JSON has it: NaN is null, an infinity the text "inf" or "-inf"."""
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return None if math.isnan(value) else str(value)
