"""What ends the program with one clear line and exit code 2."""

from __future__ import annotations


class BenchError(Exception):
    """Something that the person at the keyboard can mend; the text says what, where and how."""
