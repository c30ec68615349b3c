"""The events of one block, grouped by job: what was accepted, what became of it, and how long it took."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Event = Mapping[str, Any]
#: What is done for one request of a scenario; a request of any other scenario is a job of the same name.
PARTS = {"account_setup": ("/crm", "/fulfillment"), "welcome_email": ("/email",)}
#: Scenarios without requests.
PERIODIC = ("account_sync", "beat_schedule")
#: In the names of jobs that show that a side is up.
PROBE = "-probe-"
#: A hand-over that takes longer is an error that the caller sees; an effect that comes later is late. Ms.
CALLER_LIMIT_MS, DEADLINE_MS = 1000.0, 5000.0
CLASSES = ("done_once", "duplicated", "failed_visibly", "stuck", "lost")


def read_events(path: Path) -> list[Event]:
    """The events of a block by time; raise ValueError for a line that is none."""
    with path.open(encoding="utf-8") as lines:
        return sorted(map(json.loads, lines), key=lambda event: int(event["t"]))


@dataclass
class Job:
    """One job and the times of its events, ns, ascending."""

    scenario: str
    name: str
    times: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    statuses: list[int] = field(default_factory=list)
    held: list[str] = field(default_factory=list)

    def first(self, event: str) -> float:
        """When it happened first; infinity for never."""
        return self.times[event][0] if event in self.times else math.inf

    @property
    def due(self) -> float:
        """When it was planned; where no plan is recorded, when it was submitted."""
        return self.first("due") if "due" in self.times else self.first("submit")

    @property
    def request(self) -> str:
        """The request that it belongs to."""
        return self.name.rpartition("/")[0] if self.scenario in PARTS else self.name

    @property
    def is_requested(self) -> bool:
        """Whether a client asked for it."""
        return "submit" in self.times or "request" in self.times

    @property
    def acceptance(self) -> str:
        """accepted, refused or unknown: what the client knows, else what the side knows."""
        told_yes = any(status < 400 for status in self.statuses)  # noqa: PLR2004 - HTTP
        if (self.statuses and not told_yes) or ("refused" in self.times and "accepted" not in self.times):
            return "refused"
        waits = not told_yes and ("request" in self.times or "unknown" in self.times)
        return "accepted" if "accepted" in self.times and not waits else "unknown"

    @property
    def outcome(self) -> str:
        """The one class of an accepted job."""
        effects = len(self.times.get("effect", ()))
        if effects:
            return "done_once" if effects == 1 else "duplicated"
        if "failed" in self.times or "dead set" in self.held:
            return "failed_visibly"
        return "stuck" if self.held else "lost"

    def metrics(self) -> dict[str, float]:
        """Each latency of docs/method.md, ms; infinity for what never came, NaN where it does not apply."""
        effect, submit, start, done = map(self.first, ("effect", "submit", "start", "done"))
        last_start = max((t for t in self.times.get("start", ()) if t <= done), default=math.inf)
        return {
            "response": (effect - self.due) / 1e6,
            "uncorrected": (effect - submit) / 1e6 if submit < math.inf else math.nan,
            "caller": (self.first("accepted") - submit) / 1e6 if submit < math.inf else math.nan,
            "pickup": math.nan if start == math.inf and effect < math.inf else (start - self.due) / 1e6,
            "service": (done - last_start) / 1e6 if last_start < math.inf else math.nan,
        }

    @property
    def hand_over_ms(self) -> float:
        """From submit to whatever answer came first."""
        return (min(self.first("accepted"), self.first("refused")) - self.first("submit")) / 1e6


def jobs_of(events: Sequence[Event]) -> dict[str, Job]:
    """Every job that any event names; the events of a request belong to each of its jobs."""
    jobs: dict[str, Job] = {}
    for event in events:
        for scenario, name in _names(event):
            job = jobs.setdefault(name, Job(scenario, name))
            job.times[event["event"]].append(event["t"])
            if event["event"] == "response":
                job.statuses.append(event["status"])
            if event["event"] == "held":
                job.held.append(str(event.get("where", "")))
    return jobs


def _names(event: Event) -> Iterator[tuple[str, str]]:
    scenario = event.get("scenario")
    if scenario is None or scenario in PERIODIC or PROBE in str(event.get("job", "")):
        return
    if "job" in event:
        yield scenario, event["job"]
    elif "request" in event:
        yield from ((scenario, f"{event['request']}{part}") for part in PARTS.get(scenario, ("",)))


def failure_counts(jobs: Sequence[Job], deadline_ms: float = DEADLINE_MS) -> dict[str, float]:
    """The counts of `failures.csv` for the jobs of one scenario; late is an effect after the deadline."""
    requested = [job for job in jobs if job.is_requested]
    accepted = [job for job in requested if job.acceptance == "accepted"]
    submitted = [job for job in requested if "submit" in job.times]
    kinds = [job.acceptance for job in requested]
    outcomes = [job.outcome for job in accepted]
    return {
        "submitted": len(requested),
        **{kind: kinds.count(kind) for kind in ("accepted", "refused", "unknown")},
        **{name: outcomes.count(name) for name in CLASSES},
        "late": sum(deadline_ms < job.metrics()["response"] < math.inf for job in accepted),
        "ghost": sum("effect" in job.times for job in requested if job.acceptance != "accepted"),
        "unexpected": sum("effect" in job.times for job in jobs if not job.is_requested),
        "caller_max_ms": max((job.hand_over_ms for job in submitted), default=math.nan),
        "user_errors": sum(
            job.acceptance == "refused" or ("submit" in job.times and job.hand_over_ms > CALLER_LIMIT_MS)
            for job in requested
        ),
    }


def exposure(jobs: Sequence[Job], from_ns: float, until_ns: float) -> dict[str, float]:
    """What a fault between these moments could reach: accepted jobs, the lost of them, the unanswered."""
    reached = [job for job in jobs if job.is_requested and job.first("effect") >= from_ns]
    exposed = [job for job in reached if job.acceptance == "accepted" and job.first("accepted") <= until_ns]
    return {
        "exposed": len(exposed),
        "lost": sum(job.outcome == "lost" for job in exposed),
        "unanswered": sum(
            job.acceptance == "unknown" and min(job.first("request"), job.first("submit")) <= until_ns
            for job in reached
        ),
    }
