"""Timelines: the jobs of one block of a fault, a row each, drawn from its event log.

`events` reads the log and forgives a damaged one, `histories` says what became of each job, `choice`
takes the jobs worth a row, and `drawing` makes the SVG.
"""

from __future__ import annotations
