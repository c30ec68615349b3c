"""`python -m reports RUN_DIRECTORY`: render a run, print the paths and the table of verdicts.

Writes the list of all runs as well, and a card with `--card`. With `--format md` or `json` it prints the
summary and writes nothing.
If the directory holds no readable run: one line on standard error, and exit code 2.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from reports import RunError, index, render, summary_text, write_card
from reports.pages import fork_pool
from reports.pages.links import make_share
from reports.pages.program import EXIT_USAGE, complain, exit_with


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m reports", description="Render a run's report.")
    parser.add_argument("run_directory", type=Path, help="a folder under results/, or results/latest")
    parser.add_argument("--format", choices=("html", "md", "json"), default="html", help="html writes files")
    parser.add_argument("--card", type=Path, metavar="FILE.png", help="also write a picture of the run")
    parser.add_argument("--base-url", default="", metavar="URL", help="where the report will be published")
    asked = parser.parse_args()
    try:
        share = make_share(asked.card, asked.base_url, form=asked.format)
        if asked.format != "html":
            sys.stdout.write(summary_text(asked.run_directory, form=asked.format))
            return 0
        page, table = render(asked.run_directory, processes=fork_pool.process_count(), share=share)
        if asked.card:
            write_card(asked.run_directory, asked.card)
    except RunError as error:
        complain(error)
        return EXIT_USAGE
    lines = [f"report: {page}", *([f"card: {asked.card}"] if asked.card else [])]
    try:
        lines.append(f"all runs: {index.write_index(index.runs_beside(asked.run_directory))}")
    except RunError as error:
        complain(error)  # the report is written; only the list of runs is not
    sys.stdout.write("\n".join([*lines, "", table]))
    return 0


if __name__ == "__main__":
    exit_with(main)
