"""What stops a report from being made at all."""

from __future__ import annotations


class RunError(Exception):
    """A directory that holds no run this version can read; one line that says what is wrong and what to do."""
