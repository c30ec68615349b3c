"""Timelines: the jobs of one block of a fault, a row each, drawn from its event log.

`events` reads the log, also a damaged one; `histories` finds what became of each job; `choice` selects the
jobs that get a row; `drawing` makes the SVG.
"""

from __future__ import annotations
