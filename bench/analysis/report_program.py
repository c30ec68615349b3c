"""Having `reports` render, as a program: a run directory is all that the two rooms share.

Imports next to nothing: `report` is to begin at once.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from queue_or_task import module_command

#: The threads of NumPy's algebra, of which a report has no use, would keep it from sharing out its work
#: over processes (`reports.pages.fork_pool`).
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}


def render(run_directory: Path, *, form: str = "html", card: Path | None = None, base_url: str = "") -> int:
    """The program's exit code; where the directory holds no run, the program has said so in one line.

    "html" writes the report, the summaries, the list of all runs, and the `card` if one is named; "md" and
    "json" print a summary. `base_url` is where the run directory will be published.
    """
    shared = [*(["--card", str(card)] if card else []), *(["--base-url", base_url] if base_url else [])]
    command = module_command("reports", str(display_path(run_directory)), "--format", form, *shared)
    return subprocess.run(command, check=False, env=os.environ | _ONE_THREAD).returncode


def display_path(path: Path) -> Path:
    """The path as a person here would type it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
