"""What the programs of this room share: exit codes, and one line for an error that the user can correct."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn

#: An error that the user can correct.
EXIT_USAGE = 2
#: Ctrl-C, as shells report it.
EXIT_INTERRUPTED = 130


def complain(error: Exception) -> None:
    """Print the error in one line on standard error."""
    sys.stderr.write(f"queue-or-task: {' '.join(str(error).split())}\n")


def exit_with(main: Callable[[], int]) -> NoReturn:
    """Run `main` and exit with the code that it returns; Ctrl-C exits without a traceback."""
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
