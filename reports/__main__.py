"""`python -m reports RUN_DIRECTORY`: render a run, print its verdicts and the path of its report.

The list of all runs beside it is written anew. With `--format md` or `json` the run in short is
printed, and nothing is written. Exit code 2 with one line on standard error where the directory
holds no run that can be read.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from reports import RunError, in_short, index, rendered
from reports.pages import fork_pool
from reports.pages.program import EXIT_USAGE, complain, exit_with


def main() -> int:
    """Do what the command line asks; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m reports", description="Render a run's report.")
    parser.add_argument("run_directory", type=Path, help="a folder under results/, or results/latest")
    parser.add_argument("--format", choices=("html", "md", "json"), default="html", help="html writes files")
    asked = parser.parse_args()
    try:
        if asked.format != "html":
            sys.stdout.write(in_short(asked.run_directory, form=asked.format))
            return 0
        page, lines = rendered(asked.run_directory, processes=fork_pool.process_count())
    except RunError as error:
        complain(error)
        return EXIT_USAGE
    lines = [*lines, "", f"report: {page}"]
    try:
        lines.append(f"all runs: {index.write_index(index.runs_beside(asked.run_directory))}")
    except RunError as error:
        complain(error)  # the report stands; only the list of runs does not know of it
    sys.stdout.write("\n".join([*lines, ""]))
    return 0


if __name__ == "__main__":
    exit_with(main)
