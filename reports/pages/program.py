"""What the programs of this room share: how they end, and one line for what the caller can mend."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn

#: Something that the caller can mend, told in one line.
EXIT_USAGE = 2
#: Ctrl-C, as shells have it.
EXIT_INTERRUPTED = 130


def complain(error: Exception) -> None:
    """Say what is wrong in one line on standard error."""
    sys.stderr.write(f"queue-or-task: {' '.join(str(error).split())}\n")


def end_with(main: Callable[[], int]) -> NoReturn:
    """Do `main` and end with the exit code that it returns; Ctrl-C ends it without a traceback."""
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
