"""The parts of "your case": questions, their choices, and the evidence for each choice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from reports.data import formatting
from reports.data.evidence import QUEUES, Losses
from reports.data.run import Run
from reports.verdicts import own_app
from reports.verdicts.kinds import Gap

#: What the figures of this run say for a choice; `open` if they do not decide. `journal`: a journalled task
#: is enough, and one in memory is not. `no-journal`: that it is not a journalled task.
Points = Literal["queue", "journal", "task", "either", "lease", "neither", "no-journal", "open"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A finding of this run in words, and the id of its place on the page."""

    text: str
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One answer that the reader can choose: what it points to, why, the evidence, what was not measured."""

    key: str
    label: str
    short: str  # as a clause: "it must survive the end of the app"
    points: Points
    implies: str
    evidence: tuple[Evidence, ...] = ()
    gaps: tuple[Gap, ...] = ()
    scenario: str = ""  # the verdict that it highlights
    queue_too: bool = False  # whether a queue does it as well as the journalled task that it points to


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question about the reader's job."""

    key: str
    text: str
    answers: tuple[Choice, ...]


def queues(run: Run) -> tuple[str, ...]:
    """The queues, by preference; for your own app only its own settings."""
    return (own_app.QUEUE,) if run.mapping("own_app") else QUEUES


def describe_losses(losses: Losses) -> str:
    """The losses of one side at one fault; if there were none, with the bound that this still allows."""
    at = f"at {formatting.fault_name(losses.fault)}"
    if not losses.exposed:
        return f"{formatting.side(losses.side)}: no job was exposed {at}"
    stuck = f", {losses.stuck} more still held at the limit" if losses.stuck else ""
    jobs = f"{losses.accepted} accepted jobs"
    if losses.exposed != losses.accepted:
        jobs = f"{losses.exposed} jobs that were exposed ({losses.accepted} accepted)"
    text = f"{formatting.side(losses.side)} lost {losses.lost} of {jobs} {at}{stuck}"
    if losses.lost:
        return text
    return f"{text}; {formatting.zero_bound(losses.strikes)}"


def cell_of(fault: int, side: str) -> str:
    """The id of the details of a fault at a side."""
    return f"f{fault}-{side}"
