"""Whether the harness itself was checked before this run: known truths and A/A, from the manifest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from reports.data.run import Run

#: What checks the harness.
COMMAND = "make verify-instrument"
#: Fields of the manifest's `instrument` that are no truth.
_ABOUT = ("known truth", "verified at", "verified commit")
_TRUTH = re.compile(r"(?P<told>.*): (?P<outcome>held|NOT HELD|too noisy to say)(?P<noise>.*)", re.DOTALL)

State = Literal["held", "broken", "unknown"]
_STATES: Mapping[str, State] = {"held": "held", "NOT HELD": "broken"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """One known truth: what was planted, what the harness reported, and whether that is near enough."""

    truth: str
    told: str
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
    truths = tuple(_truth(str(name), str(told)) for name, told in found.items() if name not in _ABOUT)
    if not truths:
        headline = str(found.get("known truth") or f"not verified: run {COMMAND}")
        return Instrument(headline=headline, about="", truths=())
    return Instrument(headline=str(found.get("known truth", "")), about=_about(run, found), truths=truths)


def _truth(name: str, told: str) -> Truth:
    found = _TRUTH.fullmatch(told)
    if found is None:
        return Truth(truth=name, told=told, state="unknown", outcome="not told")
    outcome = found["outcome"]
    return Truth(
        truth=name,
        told=found["told"],
        state=_STATES.get(outcome, "unknown"),
        outcome=outcome.lower() + found["noise"],
    )


def _about(run: Run, found: Mapping[str, object]) -> str:
    commit, own = str(found.get("verified commit", "")), str(run.mapping("git").get("commit", ""))
    same = (
        "the commit of this run"
        if commit and commit == own
        else f"another commit, {commit[:12] or 'unknown'}"
    )
    return f"Verified at {found.get('verified at', 'an unknown time')}, at {same}."
