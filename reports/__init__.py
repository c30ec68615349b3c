"""Reports: a run directory becomes tables, verdicts, figures and one self-contained HTML file.

Reads the CSVs, `run.json` and `micro.json` of `bench.schema` and nothing else. What a run lacks is
told in place with the command that fills it; only a directory without a readable manifest, or of a
newer schema, raises RunError. The same run directory gives the same bytes.
"""

from __future__ import annotations

import os
from pathlib import Path

from bench.schema import REPORT
from reports import page
from reports.drawings import drawings
from reports.errors import RunError
from reports.reading import read
from reports.verdicts import verdicts

__all__ = ["RunError", "headlines", "render"]


def render(run_directory: Path) -> Path:
    """Write `report.html` into the run directory in one step and return its path.

    Raise RunError where the directory holds no run that can be read, or cannot be written to.
    """
    run = read(run_directory)
    target, fresh = run_directory / REPORT, run_directory / f".{REPORT}.{os.getpid()}"
    try:
        fresh.write_text(page.html(run, drawings(run)), encoding="utf-8")
        fresh.replace(target)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise RunError(
            f"{target} cannot be written: {error.strerror}; free some space or copy the run"
        ) from error
    return target


def headlines(run_directory: Path) -> list[str]:
    """The verdict of each scenario in a line, stamped where it may not be quoted.

    Raise RunError as `render` does.
    """
    run = read(run_directory)
    stamp = "".join(f" [{text}]" for text in page.stamps(run)[:1])
    return [verdict.sentence + stamp for verdict in verdicts(run)]
