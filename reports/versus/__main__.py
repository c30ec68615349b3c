"""`python -m reports.versus compare-A-B.json`: put two runs side by side in a page, and print its path.

Exit code 2 with one line on standard error where that cannot be done.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from reports.errors import RunError
from reports.programs import EXIT_USAGE, complain
from reports.versus import write_page


def main() -> int:
    """Make the page that the command line names; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m reports.versus", description="Two runs side by side.")
    parser.add_argument("figures", type=Path, help="what `queue-or-task compare` wrote: compare-A-B.json")
    try:
        sys.stdout.write(f"side by side: {write_page(parser.parse_args().figures)}\n")
    except RunError as error:
        complain(error)
        return EXIT_USAGE
    return 0


if __name__ == "__main__":
    sys.exit(main())
