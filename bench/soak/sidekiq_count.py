"""What became of each job of a soak: its runs, and the repeated runs that no kill explains. Pure.

What follows a job (the next step of a chain, a link, a chord's callback) is a job of its own: it must be done
as well. Where the job before it ran twice, it may too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

#: A job that began or ended within so many seconds of a kill may still have been held by what was killed.
GRACE_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a job: when it began, and when it was done, in seconds; None: it never was."""

    began: float
    done: float | None = None

    def overlaps_kill(self, kills: list[float], grace_s: float) -> bool:
        """Whether a kill came during the run, or within `grace_s` of it."""
        end = float("inf") if self.done is None else self.done + grace_s
        return any(self.began - grace_s <= kill <= end for kill in kills)


@dataclass(slots=True)
class Result:
    """The accepted jobs, their runs, and the times of the kills."""

    kind: str
    accepted: set[str] = field(default_factory=set)
    runs: dict[str, list[Run]] = field(default_factory=dict)
    kills: list[float] = field(default_factory=list)
    #: What follows other jobs, with the jobs before it.
    follows: dict[str, tuple[str, ...]] = field(default_factory=dict)
    refused: int = 0
    buried: int = 0
    seconds: float = 0.0
    missing: set[str] = field(default_factory=set)

    @property
    def repeated_runs(self) -> list[Run]:
        """Each run after which its job ran again, but of jobs that follow one that did."""
        return [run for job in self.runs if not self._follows_repeated(job) for run in self._repeats(job)]

    @property
    def repeated_after(self) -> int:
        """Repeats of what follows a job that ran again."""
        return sum(len(self._repeats(job)) for job in self.runs if self._follows_repeated(job))

    def _repeats(self, job: str) -> list[Run]:
        return sorted(self.runs.get(job, ()), key=lambda run: run.began)[:-1]

    def _follows_repeated(self, job: str) -> bool:
        return any(self._repeats(before) for before in self.follows.get(job, ()))

    @property
    def repeated_at_kill(self) -> int:
        """Repeats of a run during which a kill came."""
        return sum(run.overlaps_kill(self.kills, 0) for run in self.repeated_runs)

    @property
    def repeated_near_kill(self) -> int:
        """Repeats of a run that began or ended within GRACE_S of a kill."""
        near = sum(run.overlaps_kill(self.kills, GRACE_S) for run in self.repeated_runs)
        return near - self.repeated_at_kill

    @property
    def unexplained(self) -> int:
        """Repeats that no kill explains."""
        return len(self.repeated_runs) - self.repeated_at_kill - self.repeated_near_kill

    @property
    def is_clean(self) -> bool:
        """Whether no job is lost and no job ran twice without a kill."""
        return not self.missing and not self.unexplained

    def __str__(self) -> str:
        """The result in a line."""
        verdict = "clean" if self.is_clean else "JOBS LOST OR REPEATED"
        after = self.missing & self.follows.keys()
        return (
            f"{self.kind}: {len(self.kills)} kills, {len(self.accepted):,} jobs accepted "
            f"({len(self.follows):,} follow others) and "
            f"{self.refused:,} refused in {self.seconds:,.0f} s: "
            f"{len(self.missing)} lost ({len(after)} that follow), "
            f"repeated: {self.repeated_at_kill} at a kill, {self.repeated_near_kill} near one, "
            f"{self.repeated_after} after a job that was, {self.unexplained} unexplained; "
            f"{self.buried} given up: {verdict}"
        )


def runs_of(text: str) -> dict[str, list[Run]]:
    """Return the runs of each job, from the lines that the jobs wrote."""
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
