"""What ends the program with one clear line and exit code 2, and the code of one that was interrupted."""

from __future__ import annotations

#: The exit code after Ctrl-C, as a shell's.
EXIT_INTERRUPTED = 130


class BenchError(Exception):
    """Something that the person at the keyboard can mend; the text says what, where and how."""
