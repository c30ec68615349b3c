"""What became of each job of a block, from its events.

The counts of the report come from the checker (`failures.csv`). This module sorts the same events by the same
rules (the table in `bench.measures.faults.failure`) to find the jobs of each count. A test compares the two.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from reports.timelines.events import Event

ACCOUNT_SETUP = "account_setup"
ACCOUNT_SYNC = "account_sync"
WELCOME_EMAIL = "welcome_email"
#: The jobs of a request: the ends of their names, after the user's id.
PARTS = {ACCOUNT_SETUP: ("/crm", "/fulfillment"), WELCOME_EMAIL: ("/email",)}
#: In the names of jobs that only test whether the side is up; no count includes them.
PROBE = "-probe-"
#: The lowest HTTP status that is an error.
FIRST_ERROR_STATUS = 400
#: Where a job that was given up waits for a person.
DEAD_SET = "dead set"
NS_PER_MS = 1_000_000

#: The findings of a job, gravest first.
GRAVITY = (
    "lost",
    "stuck",
    "duplicated",
    "ghost",
    "unexpected",
    "failed_visibly",
    "late",
    "cancelled",
    "unknown",
    "refused",
    "done_once",
)


@dataclass(slots=True)
class History:
    """One job, or one owner of a periodic sync: the times of each kind of event, ascending."""

    job: str
    times: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    statuses: list[int] = field(default_factory=list)
    held_where: list[str] = field(default_factory=list)
    failed_where: list[str] = field(default_factory=list)

    @property
    def first(self) -> int:
        """When the job was due; without a plan, its first event."""
        return min(self.times.get("due") or (times[0] for times in self.times.values()))

    @property
    def last(self) -> int:
        """Its last event."""
        return max(times[-1] for times in self.times.values())


def histories(events: Sequence[Event], scenario: str) -> list[History]:
    """Every job of the scenario but the probes, in the order of their first events."""
    found: dict[str, History] = {}
    for event in events:
        if event.get("scenario") == scenario:
            for job in _jobs_of(event, scenario):
                _add(found.setdefault(job, History(job)), event)
    return list(found.values())


def finding(history: History, *, deadline_ms: float) -> str:
    """Return the gravest finding of the job, one of GRAVITY; late is over `deadline_ms` after due."""
    effects = len(history.times.get("effect", ()))
    if not {"submit", "request"} & history.times.keys():
        return "unexpected" if effects else "unknown"
    answer = acceptance(history)
    if answer != "accepted":
        return "ghost" if effects else answer
    if effects > 1:
        return "duplicated"
    if effects:
        return _done(history, deadline_ms)
    if "failed" in history.times or DEAD_SET in history.held_where:
        return "failed_visibly"
    return "stuck" if history.held_where else "lost"


def acceptance(history: History) -> str:
    """accepted, refused or unknown, as the client knows it; where no client spoke, as the side knows it."""
    times, statuses = history.times, history.statuses
    answered_yes = any(status < FIRST_ERROR_STATUS for status in statuses)
    if (statuses and not answered_yes) or ("refused" in times and "accepted" not in times):
        return "refused"
    in_vain = not answered_yes and ("request" in times or "unknown" in times)
    return "accepted" if "accepted" in times and not in_vain else "unknown"


def response_ms(history: History) -> float:
    """From due, or else submit, to the first effect of a job that had one."""
    due = history.times.get("due") or history.times.get("submit") or [history.first]
    return (history.times["effect"][0] - due[0]) / NS_PER_MS


def _done(history: History, deadline_ms: float) -> str:
    if response_ms(history) > deadline_ms:
        return "late"
    return "cancelled" if "cancelled" in history.times else "done_once"


def _jobs_of(event: Event, scenario: str) -> Iterable[str]:
    if "job" in event:
        job = str(event["job"])
        return () if PROBE in job else (job,)
    request = event.get("request")
    return () if request is None else (f"{request}{part}" for part in PARTS.get(scenario, ()))


def _add(history: History, event: Event) -> None:
    kind = str(event["event"])
    history.times[kind].append(int(event["t"]))
    if kind == "response" and isinstance(event.get("status"), int):
        history.statuses.append(event["status"])
    if kind == "held":
        history.held_where.append(str(event.get("where", "")))
    if kind == "failed":
        history.failed_where.append(str(event.get("where", "")))
