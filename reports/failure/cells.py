"""A cell of the failure matrix: both promises judged, the classes that occurred, and the prediction.

`unknown` outranks `held`, and a loss that was seen outranks both (docs/method.md). What is said by a
colour is said by a symbol and in words too.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.schema import SCHEMA
from reports.data import formatting
from reports.failure import observations
from reports.failure.strike_rows import Strike, distinct, noted, numbers, peak, total

#: The classes of accepted jobs; each job is in exactly one.
CLASSES = SCHEMA["failures"].labels("done_once", "duplicated", "failed_visibly", "stuck", "lost")
#: What can be said of a job beside its class.
FLAGS = SCHEMA["failures"].labels(
    "refused", "unknown", "late", "out_of_order", "ghost", "unexpected", "cancelled"
)
#: Classes that break a promise.
BREAKS = frozenset({"duplicated", "lost"})
#: The scenario whose ticks nobody hands over: what a fault did to them is told by its own checker.
PERIODIC = "account_sync"
MS_PER_S = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """held, broken or unknown, said by a symbol, a word and a colour."""

    state: str
    text: str

    @property
    def symbol(self) -> str:
        """A mark that needs no colour."""
        return formatting.symbol(self.state)


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """So many jobs of one class or flag; `breaks` where there should be none."""

    text: str
    breaks: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What docs/faults.md expects, and whether the strikes agree: yes, no, partly, or not compared."""

    held: str
    predicted: str
    text: str

    @property
    def symbol(self) -> str:
        """A mark that needs no colour."""
        return {"yes": "=", "no": "\N{NOT EQUAL TO}", "partly": "\N{ALMOST EQUAL TO}"}.get(self.held, "")


#: What a cell comes to, gravest first; each has a mark of its own in the heat map.
Kind = Literal["lost", "doubled", "unknown", "disturbed", "kept"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The gravest of what happened, in words, and the share of jobs (0 to 1) that it happened to."""

    kind: Kind
    text: str
    share: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """All strikes of one fault at one side and scenario; classes and flags without a job are left out."""

    slug: str
    outcome: Outcome
    judgements: tuple[Judgement, ...]
    accepted: str
    classes: tuple[Count, ...]
    flags: tuple[Count, ...]
    sums: str  # empty where every strike's sum check holds
    checked: str  # what the fault's own checker found, where no job is counted
    recovery: str
    prediction: Prediction
    excluded: str  # the strikes that do not count, with the reason
    marks: str  # of its notes

    @property
    def state(self) -> str:
        """The judgements as one: broken, else unknown, else held."""
        states = {judgement.state for judgement in self.judgements}
        return next(state for state in ("broken", "unknown", "held") if state in states)

    @property
    def as_promised(self) -> bool:
        """Whether nothing was lost or doubled, and the prediction held in each strike."""
        expected = self.prediction.held in {"yes", ""} and not self.sums and not self.excluded
        return expected and self.outcome.kind in {"kept", "disturbed"}


def cell(rows: Sequence[Strike], *, slug: str, notes: Mapping[str, str], excluded: str = "") -> Cell:
    """The strikes, at least one, of one fault at one side and scenario as a cell."""
    ticks = periodic(rows)
    return Cell(
        slug=slug,
        outcome=_outcome(rows, ticks=ticks),
        judgements=_judgements(rows, ticks=ticks),
        accepted=_accepted(rows, ticks=ticks),
        classes=counts(rows, CLASSES),
        flags=counts(rows, FLAGS),
        sums=_sums(rows),
        checked=observations.over_strikes(row["seen"] for row in rows) if ticks else "",
        recovery=_recovery(rows),
        prediction=prediction(rows),
        excluded=excluded,
        marks=" ".join(notes[note] for note in noted(rows) if note in notes),
    )


def periodic(rows: Sequence[Strike]) -> bool:
    """Whether nobody hands a job over, so that there are ticks and no accepted jobs."""
    return all(row["scenario"] == PERIODIC for row in rows)


def state(said: Iterable[str], seen: float) -> str:
    """The verdict over strikes: what was `seen` breaks it, else every strike must have `said` held."""
    words_said = set(said)
    if seen > 0 or "broken" in words_said:
        return "broken"
    return "held" if words_said == {"held"} else "unknown"


def counts(rows: Sequence[Strike], names: Mapping[str, str]) -> tuple[Count, ...]:
    """How many jobs of each class or flag, without those that no job is of."""
    totals = {column: total(rows, column) for column in names}
    return tuple(
        Count(text=f"{formatting.count(totals[column])} {name}", breaks=column in BREAKS)
        for column, name in names.items()
        if totals[column] > 0
    )


def prediction(rows: Sequence[Strike]) -> Prediction:
    """Whether the strikes went as predicted: each says yes or no."""
    said = Counter(row["as_predicted"] for row in rows if row["as_predicted"])
    predicted = "; ".join(distinct(rows, "predicted"))
    if not said:
        return Prediction(held="", predicted=predicted, text="not compared")
    if len(said) == 1:
        held = next(iter(said))
        names = {"yes": "as predicted", "no": "not as predicted", "partly": "partly as predicted"}
        return Prediction(held=held, predicted=predicted, text=names.get(held, held))
    text = f"as predicted in {said['yes']} of {said.total()} strikes"
    return Prediction(held="partly", predicted=predicted, text=text)


def _accepted(rows: Sequence[Strike], *, ticks: bool) -> str:
    strikes = formatting.plural(len(rows), "strike")
    if ticks:
        return f"ticks, not jobs, in {strikes}"
    accepted = f"{formatting.count(total(rows, 'accepted'))} accepted"
    return accepted if len(rows) == 1 else f"{accepted} in {strikes}"


def _judgements(rows: Sequence[Strike], *, ticks: bool) -> tuple[Judgement, ...]:
    lost, doubled = total(rows, "lost"), total(rows, "duplicated")
    loses = state((row["at_least_once"] for row in rows), lost)
    doubles = state((row["at_most_once"] for row in rows), doubled)
    if loses == doubles == "unknown" and total(rows, "accepted") == 0:
        text = "no promise to judge" if ticks else "nothing accepted"
        return (Judgement(state="unknown", text=text),)
    return (
        _judgement("at least once", loses, f"{formatting.count(lost)} lost"),
        _judgement("at most once", doubles, f"{formatting.count(doubled)} doubled"),
    )


def _outcome(rows: Sequence[Strike], *, ticks: bool) -> Outcome:
    if ticks:
        return _outcome_of_ticks(rows)
    accepted = total(rows, "accepted")
    for column, kind, name in _GRAVE:
        if (found := total(rows, column)) > 0:
            text = f"{formatting.count_of(found, accepted)} {name}{_and_stuck(rows)}"
            return Outcome(kind=kind, text=text, share=found / max(accepted, found))
    disturbed = {name: found for column, name in _DISTURBED.items() if (found := total(rows, column)) > 0}
    if any(row["at_least_once"] == "unknown" for row in rows) and (accepted > 0 or not disturbed):
        text = "cannot be told" if accepted > 0 else "nothing accepted"
        return Outcome(kind="unknown", text=f"{text}{_and_stuck(rows)}")
    if disturbed:
        text = ", ".join(f"{formatting.count(found)} {name}" for name, found in disturbed.items())
        share = max(disturbed.values()) / max(total(rows, "submitted"), *disturbed.values())
        return Outcome(kind="disturbed", text=text, share=share)
    timed = any(not math.isnan(row["late"]) for row in rows)
    when = "in time" if timed else "lateness not measured"
    return Outcome(kind="kept", text=f"all {formatting.count(accepted)} done once, {when}")


def _and_stuck(rows: Sequence[Strike]) -> str:
    """The stuck jobs, which stand behind no graver finding."""
    stuck = total(rows, "stuck")
    return f", {formatting.count(stuck)} stuck" if stuck > 0 else ""


def _outcome_of_ticks(rows: Sequence[Strike]) -> Outcome:
    """What the fault's own checker counted; where it counts no ticks, whether it went as predicted."""
    seen = [row["seen"] for row in rows]
    due, missed, doubled, bursts = (
        _sum(seen, name) for name in ("ticks due", "missed", "duplicates", "bursts")
    )
    parts = [f"{formatting.plural(doubled, 'tick')} doubled"] if doubled > 0 else []
    parts += [f"{formatting.count(missed)} of {formatting.plural(due, 'tick')} missed"] if missed > 0 else []
    parts += [f"{formatting.count(bursts)} twice within half an interval"] if bursts > 0 else []
    if doubled > 0:
        return Outcome(kind="doubled", text=", ".join(parts), share=_share(doubled, due))
    if parts:
        share = _share(missed or bursts, due)
        return Outcome(kind="disturbed", text=", ".join(parts), share=share)
    moved = sum(observations.values(text).get("step") == "permanent" for text in seen)
    if moved:
        told = sum(map(bool, seen))
        where = f" in {moved} of {told} strikes" if moved < told else ""
        return Outcome(kind="disturbed", text=f"the phase stayed moved{where}")
    if not any(seen):
        return Outcome(kind="unknown", text="not recorded")
    if due > 0:
        return Outcome(kind="kept", text=f"all {formatting.count(due)} ticks ran once")
    return Outcome(kind="kept", text=observations.over_strikes(seen))


def _sum(seen: Iterable[str], name: str) -> float:
    found = (observations.number(text, name) for text in seen)
    return sum(value for value in found if math.isfinite(value))


def _share(part: float, whole: float) -> float:
    return part / max(part, whole)


#: What breaks a promise.
_GRAVE: tuple[tuple[str, Kind, str], ...] = (
    ("lost", "lost", "lost"),
    ("duplicated", "doubled", "done twice"),
)
#: What breaks no promise, and is felt all the same.
_DISTURBED = SCHEMA["failures"].labels(
    "stuck", "failed_visibly", "refused", "unknown", "late", "ghost", "unexpected", "out_of_order"
)


def _judgement(promise: str, found: str, broken: str) -> Judgement:
    text = {"held": promise, "broken": f"{promise}: {broken}"}.get(found, f"{promise}: unknown")
    return Judgement(state=found, text=text)


def _sums(rows: Sequence[Strike]) -> str:
    bad = sum(row["sum_ok"] is not True for row in rows)  # what is not said counts as failed
    return f"sum check fails in {bad} of {formatting.plural(len(rows), 'strike')}" if bad else ""


def _recovery(rows: Sequence[Strike]) -> str:
    worst = peak(rows, "t_first_s")
    which = " in the worst strike" if len(numbers(rows, "t_first_s")) > 1 else ""
    if worst == math.inf:
        return f"no effect after it by the limit{which}"
    return "" if math.isnan(worst) else f"next effect after {formatting.ms(worst * MS_PER_S)}{which}"
