"""The error of a run that cannot be reported."""

from __future__ import annotations


class RunError(Exception):
    """The directory holds no run that this version can read. The message is one line and says what to do."""
