"""Whether the harness itself was checked before this run: known truths and A/A, from the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.schema import State
from reports.data import old_runs
from reports.data.run import Run

#: What checks the harness.
COMMAND = "make verify-instrument"
_STATES: Mapping[str, State] = {"held": "held", "NOT HELD": "broken"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """One known truth: what was planted, what the harness reported, and whether that is near enough."""

    truth: str
    figures: str
    state: State
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """What the last verification found; `about` says when, of which commit, and what it means here."""

    headline: str
    about: str
    truths: tuple[Truth, ...]

    @property
    def failed(self) -> int:
        """Truths that the harness did not report."""
        return sum(truth.state == "broken" for truth in self.truths)


def instrument(run: Run) -> Instrument:
    """The verification that the run's manifest carries."""
    found = run.mapping("instrument")
    truths = tuple(map(_truth, _truths(found)))
    if not truths:
        headline = str(found.get("known truth") or f"not verified: run {COMMAND}")
        return Instrument(headline=headline, about="", truths=())
    return Instrument(headline=str(found.get("known truth", "")), about=_about(run, found), truths=truths)


def _truths(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The truths of the manifest: truth, figures, outcome and why."""
    if isinstance(listed := found.get("truths"), list):
        return [truth for truth in listed if isinstance(truth, Mapping)]
    return list(old_runs.truths(found))


def _truth(found: Mapping[str, Any]) -> Truth:
    outcome, why = str(found.get("outcome") or ""), found.get("why")
    return Truth(
        truth=str(found.get("truth", "")),
        figures=str(found.get("figures", "")),
        state=_STATES.get(outcome, "unknown"),
        outcome=f"{outcome.lower()}{f' ({why})' if why else ''}" if outcome else "not told",
    )


def _about(run: Run, found: Mapping[str, object]) -> str:
    commit, own = str(found.get("verified commit", "")), str(run.mapping("git").get("commit", ""))
    same = (
        "the commit of this run"
        if commit and commit == own
        else f"another commit, {commit[:12] or 'unknown'}"
    )
    return f"Verified at {found.get('verified at', 'an unknown time')}, at {same}."
