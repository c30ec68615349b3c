"""The error that ends the program with one line and exit code 2, and other exit codes."""

from __future__ import annotations

#: The exit code of a run that is not complete, or in which nothing counted.
EXIT_BAD_RESULT = 1
#: The exit code after Ctrl-C, as a shell's.
EXIT_INTERRUPTED = 130


class BenchError(Exception):
    """An error that the caller can fix; the text says what is wrong, where, and what to do."""
