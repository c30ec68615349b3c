"""What "your case" is made of: questions, their answers, and the evidence under each answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from reports.data import formatting
from reports.data.evidence import QUEUES, Losses
from reports.data.run import Run
from reports.verdicts import own_app
from reports.verdicts.kinds import Gap

#: What an answer asks for, by this run's figures; `open` where they do not tell.
Points = Literal["queue", "task", "either", "neither", "open"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A finding of this run in words, and the id on the page under which it stands."""

    text: str
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer: what it asks for, why, on what evidence, and what is lacking to tell."""

    key: str
    label: str
    short: str  # the answer as a reason, as in "it must survive the end of the app"
    points: Points
    implies: str
    evidence: tuple[Evidence, ...] = ()
    gaps: tuple[Gap, ...] = ()
    scenario: str = ""  # whose verdict it lights up


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question about the reader's job."""

    key: str
    text: str
    answers: tuple[Answer, ...]


def queues(run: Run) -> tuple[str, ...]:
    """The sides that may speak for queues, the first that was measured first; of one's own app, its own."""
    return (own_app.QUEUE,) if run.mapping("own_app") else QUEUES


def describe_losses(losses: Losses) -> str:
    """The losses of one side at one fault; where none was seen, what that still allows."""
    at = f"at {formatting.FAULT_NAMES.get(losses.fault, f'fault {losses.fault}')}"
    stuck = f", {losses.stuck} more still held at the limit" if losses.stuck else ""
    jobs = f"{losses.accepted} accepted jobs"
    if losses.exposed != losses.accepted:
        jobs = f"{losses.exposed} jobs that were exposed ({losses.accepted} accepted)"
    text = f"{formatting.side(losses.side)} lost {losses.lost} of {jobs} {at}{stuck}"
    if losses.lost:
        return text
    bound = formatting.percent(formatting.upper_bound(0, losses.strikes))
    strikes = formatting.plural(losses.strikes, "strike")
    return f"{text}; 0 of {strikes} still allows {bound} of strikes to lose one"


def cell_of(fault: int, side: str) -> str:
    """The id under which the failure section opens a fault at a side."""
    return f"f{fault}-{side}"
