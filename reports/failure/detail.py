"""What a cell of the matrix opens to: its facts in words, and the timeline of its worst strike.

The timelines of a page share a budget of bytes, gravest first, since a page is sent by e-mail. A full
run's hundred fit into it. A cell that does not, or whose event log cannot be read, says so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from reports.data import evidence, formatting
from reports.data.frames import records
from reports.data.run import Run
from reports.failure import observations
from reports.failure.facts import Fact, facts
from reports.failure.strike_rows import Strike
from reports.failure.subjects import Subject
from reports.timelines import choice, drawing, events

#: Bytes of all timelines of a page together, of its 1.5 MB.
BUDGET_BYTES = 500_000
#: Bytes that any timeline takes: with fewer left none is drawn.
LEAST_BYTES = 500
#: What makes one strike worse than another, gravest first.
WORST_FIRST = ("lost", "stuck", "duplicated", "failed_visibly", "late", "ghost", "unexpected")


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """One cell, opened."""

    summary: str
    facts: tuple[Fact, ...]
    predicted: str
    seen: str  # by the fault's own checker, over all strikes
    history: str  # the shortest that shows its gravest finding
    errors: tuple[str, ...]
    svg: Markup | None
    caption: str
    problem: str  # why there is no timeline, or not a whole one
    log: str


def details(run: Run, subjects: Sequence[Subject]) -> Mapping[str, Detail]:
    """Every cell opened, by its slug; the budget goes to the gravest first."""
    left = BUDGET_BYTES
    found: dict[str, Detail] = {}
    tables = ("blast", "controls", "exposure", "failures")
    beside = _Beside(**{name: _by_place(run, name) for name in tables}, untimed=untimed(run))
    for subject in sorted(subjects, key=_gravity):
        made = _detail(run, subject, beside, left=left)
        left -= len(made.svg or "")
        found[subject.cell.slug] = made
    return found


def untimed(run: Run) -> dict[str, str]:
    """Why the times of a fault block are left out, by block; blocks with times, and old runs, have none."""
    blocks = run.table("blocks")
    left_out = blocks[(blocks["measure"] == "fault") & (blocks["untimed"].fillna("") != "")]
    return dict(zip(left_out["block"], left_out["untimed"], strict=True))


def worst(strikes: Sequence[Strike]) -> Strike:
    """The strike to draw: lost before stuck, doubled, failed, late; then one that was not predicted."""
    return min(strikes, key=_badness)


def _badness(strike: Strike) -> tuple[float, ...]:
    # max() with 0 first: a count that is no number counts as none
    return (*(-max(0.0, strike[name]) for name in WORST_FIRST), strike["as_predicted"] != "no")


def _gravity(subject: Subject) -> tuple[Any, ...]:
    broken = subject.cell.state != "broken"
    return (broken, subject.cell.prediction.held not in {"no", "partly"}, *_badness(worst(subject.strikes)))


def _detail(run: Run, subject: Subject, beside: _Beside, *, left: int) -> Detail:
    strike = worst(subject.strikes)
    place = (subject.fault, subject.side)
    log = events.read(run.directory, strike["block"])
    room = left >= LEAST_BYTES
    without_history = not strike["example"] and any(strike[name] > 0 for name in WORST_FIRST)
    needed = room or without_history
    deadline_ms = evidence.deadline_ms(run, subject.scenario)
    drawn = (
        choice.timeline(log, block=strike["block"], scenario=subject.scenario, deadline_ms=deadline_ms)
        if needed
        else None
    )
    svg = _svg(subject, strike, drawn) if drawn and room else None
    fits = room and (svg is None or len(svg) <= left)
    return Detail(
        summary=formatting.side(subject.side),
        facts=facts(
            subject.strikes,
            [row for row in beside.blast[place] if row["scenario"] != subject.scenario],
            [row for row in beside.controls[place] if row["scenario"] == subject.scenario],
            [row for row in beside.exposure[place] if row["scenario"] == subject.scenario],
            bystanders=[row for row in beside.failures[place] if row["scenario"] != subject.scenario],
            untimed=[
                beside.untimed[each["block"]] for each in subject.strikes if each["block"] in beside.untimed
            ],
        ),
        predicted=subject.cell.prediction.predicted,
        seen=observations.over_strikes(row["seen"] for row in subject.strikes),
        history=strike["example"] or (drawn.history if drawn else ""),
        errors=choice.errors(log, subject.scenario),
        svg=svg if fits else None,
        caption=_caption(subject, strike, drawn) if drawn and fits else "",
        problem=_problem(log, drawn, fits=fits),
        log=events.file_name(strike["block"]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Beside:
    """The rows of other tables that belong to the strikes of a fault at a side."""

    blast: Mapping[tuple[float, str], list[Strike]]
    controls: Mapping[tuple[float, str], list[Strike]]
    exposure: Mapping[tuple[float, str], list[Strike]]
    failures: Mapping[tuple[float, str], list[Strike]]
    #: Why the times of a block are left out, by block.
    untimed: Mapping[str, str]


def _by_place(run: Run, name: str) -> Mapping[tuple[float, str], list[Strike]]:
    found: defaultdict[tuple[float, str], list[Strike]] = defaultdict(list)
    for row in records(run.table(name)):
        found[row["fault"], row["side"]].append(row)
    return found


def _svg(subject: Subject, strike: Strike, drawn: choice.Timeline) -> Markup:
    found = ", ".join(count.text for count in subject.cell.classes) or "no accepted job"
    return drawing.svg(
        drawn,
        title=f"Timeline: {subject.name}",
        description=f"{formatting.plural(len(drawn.rows), 'row')}, each a job or an owner. "
        f"{_caption(subject, strike, drawn)} All strikes together: {found}.",
    )


def _caption(subject: Subject, strike: Strike, drawn: choice.Timeline) -> str:
    n = len(subject.strikes)
    which = (
        "The only strike."
        if n == 1
        else f"The worst of {n} strikes, number {formatting.count(strike['strike'])}."
    )
    struck = (
        "The strike is shaded, and time counts from it." if drawn.fault_ns else "The log names no strike."
    )
    return " ".join(filter(None, [which, struck, drawn.not_drawn]))


def _problem(log: events.Log, drawn: choice.Timeline | None, *, fits: bool) -> str:
    if not fits and log.events:
        return "No timeline: the page would be too large to send; graver strikes come first."
    if drawn is None:
        return f"No timeline: {log.problem or 'the log has no job of this scenario'}."
    return f"{log.problem}." if log.problem else ""
