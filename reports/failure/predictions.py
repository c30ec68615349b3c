"""The predictions that did not hold in a run: findings, listed before the matrix."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from reports.failure import observations
from reports.failure.cells import CLASSES, FLAGS, counts
from reports.failure.subjects import Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """One prediction that did not hold: where, what was predicted, what was seen, and the cell to read on."""

    subject: str
    slug: str
    predicted: str
    seen: str  # in the strikes that went otherwise
    strikes: str  # how many of them, where there was more than one


def failed(subjects: Iterable[Subject]) -> tuple[Failed, ...]:
    """Every subject with a strike that did not go as predicted, in the order of the matrix."""
    return tuple(_failed(subject) for subject in subjects if subject.cell.prediction.held in {"no", "partly"})


def _failed(subject: Subject) -> Failed:
    rows = [strike for strike in subject.strikes if strike["as_predicted"] != "yes"]
    seen = [count.text for count in counts(rows, CLASSES) + counts(rows, FLAGS)]
    checked = observations.over_strikes(row["seen"] for row in rows)
    text = "; ".join(filter(None, [", ".join(seen), checked]))
    return Failed(
        subject=subject.name,
        slug=subject.cell.slug,
        predicted=subject.cell.prediction.predicted,
        seen=text or "no count differs",
        strikes=f"in {len(rows)} of {n} strikes" if (n := len(subject.strikes)) > 1 else "",
    )
