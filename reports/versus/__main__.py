"""`python -m reports.versus compare-A-B.json`: put two runs side by side in a page, and print its path.

A list of runs in the same folder is written anew, so that it leads to the page. Exit code 2 with one
line on standard error where something cannot be done.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench.schema import INDEX
from reports.data.errors import RunError
from reports.index import write_index
from reports.pages.program import EXIT_USAGE, complain, exit_with
from reports.versus import write_page


def main() -> int:
    """Make the page that the command line names; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m reports.versus", description="Two runs side by side.")
    parser.add_argument("figures", type=Path, help="what `queue-or-task compare` wrote: compare-A-B.json")
    try:
        page = write_page(parser.parse_args().figures)
        sys.stdout.write(f"side by side: {page}\n")
        if (page.parent / INDEX).exists():
            sys.stdout.write(f"all runs: {write_index(page.parent)}\n")
    except RunError as error:
        complain(error)
        return EXIT_USAGE
    return 0


if __name__ == "__main__":
    exit_with(main)
