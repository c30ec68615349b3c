"""`python -m reports.index RESULTS`: write the list of all runs in a folder, and print its path.

Exit code 2, with one line on standard error, if that fails.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from reports.data.errors import RunError
from reports.index import write_index
from reports.pages.program import EXIT_USAGE, complain, exit_with


def main() -> int:
    """List the runs of the folder on the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m reports.index", description="List all runs of a folder.")
    parser.add_argument("folder", type=Path, help="a folder that holds runs, such as results/")
    try:
        sys.stdout.write(f"all runs: {write_index(parser.parse_args().folder)}\n")
    except RunError as error:
        complain(error)
        return EXIT_USAGE
    return 0


if __name__ == "__main__":
    exit_with(main)
