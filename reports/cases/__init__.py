"""Your case: questions about the reader's own job, and what each answer means by the figures of this run.

Pure functions of the tables. Where the run has no figure, the choice is `open` and names what to measure.
Choices are listed one by one and never added up to a score.
"""

from __future__ import annotations

from reports.cases.kinds import Choice, Evidence, Question
from reports.cases.pace import heavy, on_time, rate
from reports.cases.placement import database, machines
from reports.cases.survival import replicas, restart, retries
from reports.data.run import Run

__all__ = ["Choice", "Evidence", "Question", "cases"]


def cases(run: Run) -> tuple[Question, ...]:
    """Every question; those that decide most often come first."""
    decide_most = (question(run) for question in (restart, retries, replicas))
    return (*decide_most, *machines(run), *database(run), heavy(run), rate(run), on_time(run))
