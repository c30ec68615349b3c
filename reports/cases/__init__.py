"""Your case: a few questions about the reader's own job, each answer followed from this run's figures.

Pure functions of the tables. An answer that the run cannot tell is `open` and says what to measure;
answers are put beside each other and never added up to a score.
"""

from __future__ import annotations

from reports.cases.kinds import Answer, Evidence, Question
from reports.cases.pace import heavy, on_time, rate
from reports.cases.survival import replicas, restart, retries
from reports.data.run import Run

__all__ = ["Answer", "Evidence", "Question", "cases"]


def cases(run: Run) -> tuple[Question, ...]:
    """Every question, those first that decide most often."""
    return tuple(ask(run) for ask in (restart, retries, replicas, heavy, rate, on_time))
