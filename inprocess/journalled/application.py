"""The supervision tree of the journalled build.

    inprocess.journalled          Supervisor, one_for_one
    ├── journal                   the journal's runner: account set-up and e-mail
    ├── account_sync.lease        Leased: of several processes of the app on one host, one ticks
    │   ├── account_sync.runs     as in `inprocess.application`
    │   ├── account_sync.servers
    │   └── account_sync.follow   Periodic: ticks for the owners that the database says
    └── account_sync              GenServer: starts and stops servers here, at once

The journal lies in the app's own database: a job is written in the transaction of the row that it is about.
`inprocess.application_host` says how the tree is hosted.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Final

from sqlalchemy import make_url

from inprocess import scenario_children
from inprocess.application_host import ApplicationHost
from inprocess.journal import Journal
from inprocess.journalled import owners
from inprocess.journalled.records import DEAD_SET
from inprocess.supervision.supervisors.supervisor import ChildSpec
from scenarios import settings

__all__ = ["CONCURRENCY", "home", "journal", "lifespan", "pending_jobs", "process", "stop"]

#: Jobs that one process runs at once: as many calls to both services as `inprocess.account_setup` makes.
CONCURRENCY: Final = 64
#: Where a job is that is not given up.
JOURNAL: Final = "journal"


def journal() -> Journal:
    """Return the journal of this process, in the app's own database.

    Raise `inprocess.journal.JournalRefusedError` where DATABASE_URL is none that a journal can lie in.
    """
    return _journal(settings.current().database_url)


@cache
def _journal(url: str) -> Journal:
    return Journal(url, concurrency=CONCURRENCY)


def pending_jobs() -> dict[str, str]:
    """Return each job of the journal that is not done, by its key, and where it is. Reads the database."""
    made = journal()
    given_up = {job.key: DEAD_SET for jobs in (made.dead, made.parked) for job in jobs if job.key}
    sets = (made.waiting, made.scheduled, made.retries, made.running)
    return given_up | {job.key: JOURNAL for jobs in sets for job in jobs if job.key}


def _specs() -> list[ChildSpec]:
    database = make_url(settings.current().database_url).database
    follow = ChildSpec(owners.FOLLOW, partial(owners.start, name=owners.FOLLOW))
    sync = scenario_children.sync_specs(lease=f"{database}-sync-lease", ticking=[follow])
    return [ChildSpec(JOURNAL, journal().start), *sync]


_host = ApplicationHost(_specs, name="inprocess.journalled")
lifespan, process, home, stop = _host.lifespan, _host.process, _host.home, _host.stop
