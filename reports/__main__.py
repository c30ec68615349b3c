"""`python -m reports RUN_DIRECTORY`: render a run, print its verdicts and the path of its report.

Exit code 2 with one line on standard error where the directory holds no run that can be read.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from reports import RunError, headlines, render

#: Something that the caller can mend, told in one line.
EXIT_USAGE = 2


def main() -> int:
    """Render what the command line names; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m reports", description="Render a run's report.")
    parser.add_argument("run_directory", type=Path, help="a folder under results/, or results/latest")
    directory = parser.parse_args().run_directory
    try:
        page, lines = render(directory), headlines(directory)
    except RunError as error:
        sys.stderr.write(f"queue-or-task: {' '.join(str(error).split())}\n")
        return EXIT_USAGE
    sys.stdout.write("\n".join([*lines, "", f"report: {page}", ""]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
