"""The events of a block, grouped by job.

The load generator knows requests and the sides know jobs: a request of account set-up is two
jobs, one of the welcome e-mail is one. Here each job's history holds the generator's events
(due, request, response, unknown) beside its own (submit, accepted, refused, start, effect,
done, failed, cancelled, held). The runs of a periodic sync are in `periodic_runs`. A call of a
task of somebody's own app (`bench.own_app`) is a request and a job of one name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from bench.measures.events.block import Event
from bench.measures.events.clocks import in_order
from bench.measures.events.periodic_runs import PERIODIC
from scenarios import jobs

#: The events that `JobHistory.due` may be the moment of.
DUE = ("due", "submit")
#: The lowest HTTP status that is an error.
FIRST_ERROR_STATUS = 400


@dataclass(slots=True)
class JobHistory:
    """One job: the times of each kind of event, ascending, and the statuses that its client got."""

    scenario: str
    job: str
    times: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    statuses: list[int] = field(default_factory=list)
    held_where: list[str] = field(default_factory=list)
    #: Jobs of one key must keep their order. The `key` of the job's events, else its user.
    key: str = ""

    def first(self, event: str) -> int | None:
        """When this happened for the first time, or None."""
        return self.times[event][0] if event in self.times else None

    @property
    def due(self) -> int | None:
        """The plan's moment for the job; where no plan is kept, its first submit."""
        planned = self.first("due")
        return self.first("submit") if planned is None else planned

    @property
    def answered_yes(self) -> bool:
        """Whether a client was answered with a success."""
        return any(status < FIRST_ERROR_STATUS for status in self.statuses)


def jobs_of(scenario: str, request: str) -> tuple[str, ...]:
    """Return the jobs of one request; `request` is the user's id, or the name of a call."""
    if scenario == jobs.ACCOUNT_SETUP:
        return jobs.crm(request), jobs.fulfillment(request)
    if scenario == jobs.WELCOME_EMAIL:
        return (jobs.email(request),)
    return (request,)


def request_of(scenario: str, job: str) -> str:
    """Return the request that a job belongs to; the inverse of `jobs_of`."""
    return user_of(job) if scenario in {jobs.ACCOUNT_SETUP, jobs.WELCOME_EMAIL} else job


def histories(events: Iterable[Event]) -> dict[str, JobHistory]:
    """Return every job of the request scenarios that an event names, in the order of first mention."""
    found: dict[str, JobHistory] = {}
    for event in in_order(events):
        for job in names_of(event):
            _add(found.setdefault(job, JobHistory(event["scenario"], job, key=user_of(job))), event)
    return found


def user_of(job: str) -> str:
    """Return the user or owner of a job: the part of its name before the last slash."""
    return job.rpartition("/")[0] or job


def names_of(event: Event) -> tuple[str, ...]:
    """Return the names of an event's jobs: none for a fault or a periodic sync."""
    scenario = event.get("scenario")
    if scenario is None or scenario in PERIODIC:
        return ()
    if "job" in event:
        return (str(event["job"]),)
    return jobs_of(str(scenario), str(event["request"])) if "request" in event else ()


def _add(history: JobHistory, event: Event) -> None:
    history.times[event["event"]].append(int(event["t"]))
    if event["event"] == "response":
        history.statuses.append(int(event["status"]))
    if event["event"] == "held":
        history.held_where.append(str(event.get("where", "")))
    history.key = str(event.get("key", history.key))
