"""`python -m reports RUN_DIRECTORY`: render a run and print its verdicts.

Exit code 0, or 2 with one line on standard error where there is no run that can be read.
"""

from __future__ import annotations

import sys
from pathlib import Path

from reports import RunError, headlines, render

USAGE_ERROR = 2


def main() -> None:
    """Render the run that the command line names."""
    if len(sys.argv) != 2:  # noqa: PLR2004 - the program and its one argument
        sys.exit("usage: python -m reports RUN_DIRECTORY")
    run = Path(sys.argv[1])
    try:
        page, lines = render(run), headlines(run)
    except RunError as error:
        sys.stderr.write(f"queue-or-task: {error}\n")
        sys.exit(USAGE_ERROR)
    sys.stdout.write("\n".join([*lines, "", f"report: {page}", ""]))


if __name__ == "__main__":
    main()
