"""What stops a report from being made at all."""

from __future__ import annotations


class RunError(Exception):
    """A directory that holds no run this version can read; its one line says what to do."""
