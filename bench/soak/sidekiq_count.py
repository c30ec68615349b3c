"""What became of the jobs of a soak: of each its runs, and which of them no kill explains. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

#: Seconds around a kill in which a job was still, or already, in the hands of what was killed.
GRACE_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a job: when it began, and when it was done, in seconds; None: it never was."""

    began: float
    done: float | None = None

    def met_by(self, kills: list[float], grace_s: float) -> bool:
        """Whether one of the kills met it."""
        end = float("inf") if self.done is None else self.done + grace_s
        return any(self.began - grace_s <= kill <= end for kill in kills)


@dataclass(slots=True)
class Result:
    """What was accepted, what ran, and when was killed."""

    kind: str
    accepted: set[str] = field(default_factory=set)
    runs: dict[str, list[Run]] = field(default_factory=dict)
    kills: list[float] = field(default_factory=list)
    refused: int = 0
    buried: int = 0
    seconds: float = 0.0
    missing: set[str] = field(default_factory=set)

    @property
    def again(self) -> list[Run]:
        """Runs after which the same job began once more."""
        return [run for runs in self.runs.values() for run in sorted(runs, key=lambda run: run.began)[:-1]]

    @property
    def doubled(self) -> int:
        """Second runs of what ran at a kill."""
        return sum(run.met_by(self.kills, 0) for run in self.again)

    @property
    def on_the_edge(self) -> int:
        """Second runs of what began or ended within GRACE_S of a kill."""
        return sum(run.met_by(self.kills, GRACE_S) for run in self.again) - self.doubled

    @property
    def stray(self) -> int:
        """Second runs for which there is no reason."""
        return len(self.again) - self.doubled - self.on_the_edge

    @property
    def is_clean(self) -> bool:
        """Whether nothing is lost and nothing ran twice without a kill."""
        return not self.missing and not self.stray

    def __str__(self) -> str:
        """The result in a line."""
        verdict = "kept" if self.is_clean else "NOT KEPT"
        return (
            f"{self.kind}: {len(self.kills)} kills, {len(self.accepted):,} jobs accepted and "
            f"{self.refused:,} refused in {self.seconds:,.0f} s: {len(self.missing)} lost, "
            f"{self.doubled} run again that ran at a kill and {self.on_the_edge} on its edge, "
            f"{self.stray} stray, {self.buried} given up: {verdict}"
        )


def runs_of(text: str) -> dict[str, list[Run]]:
    """The runs of each job, from the lines that the jobs wrote."""
    began: dict[tuple[str, str], float] = {}
    runs: dict[str, list[Run]] = {}
    for line in text.splitlines():
        event, name, pid, at = line.split()
        if event == "start":
            if (name, pid) in began:
                runs.setdefault(name, []).append(Run(began[name, pid]))
            began[name, pid] = float(at)
        else:
            runs.setdefault(name, []).append(Run(began.pop((name, pid)), float(at)))
    for (name, _), since in began.items():
        runs.setdefault(name, []).append(Run(since))
    return runs
