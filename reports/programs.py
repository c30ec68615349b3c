"""What the programs of this room share: one line for what the caller can mend, and its exit code."""

from __future__ import annotations

import sys

#: Something that the caller can mend, told in one line.
EXIT_USAGE = 2


def complain(error: Exception) -> None:
    """Say what is wrong in one line on standard error."""
    sys.stderr.write(f"queue-or-task: {' '.join(str(error).split())}\n")
