"""The fault jobs as children of the in-process build's supervisor of account set-up."""

from __future__ import annotations

from functools import partial
from typing import Any

from bench.app.fault_jobs import work
from inprocess import account_setup, application, scenario_children
from inprocess.supervision.core.errors import Refused
from inprocess.supervision.core.names import whereis
from inprocess.supervision.isolation.isolation import Isolation
from inprocess.supervision.supervisors.supervisor import Supervisor
from inprocess.supervision.tasks.child import current_attempt
from inprocess.supervision.tasks.task_supervisor import TaskSupervisor
from scenarios import jobs, ledger
from scenarios.contract import RefusedError

#: Where a kind of job runs by default, other than in a thread: these block the loop on purpose.
PLACES: dict[str, Isolation] = {"hog": "loop", "gil": "loop"}


def submit(key: str, kind: str, options: dict[str, Any], payload: Any) -> None:
    """Start the job; raise RefusedError where it is refused."""
    supervisor = application.process(account_setup.SUPERVISOR)
    assert isinstance(supervisor, TaskSupervisor)  # noqa: S101 - the tree says so
    place: Isolation = options.get("isolation") or PLACES.get(kind, "thread")
    # A process gets copies, so the bare function and what can be pickled; the rest goes by reference.
    arguments = (key, kind, options, payload) if place != "process" else (key, kind, options, None)
    started = supervisor.start_child(
        partial(_run, place),
        *arguments,
        restart="transient",
        name=jobs.crm(key),
        intensity=account_setup.INTENSITY,
        backoff=None if kind in {"crash", "exhaust"} else account_setup.BACKOFF,
        on_give_up=account_setup._given_up,  # noqa: SLF001 - the record is the build's own
        isolation=place,
    )
    if isinstance(started, Refused):
        raise RefusedError(f"{key}: {started.text}")


def _run(place: Isolation, key: str, kind: str, options: dict[str, Any], payload: Any) -> None:
    attempt = current_attempt() if place != "process" else 1
    with ledger.attempt(jobs.ACCOUNT_SETUP, jobs.crm(key), attempt):
        work.act(kind, options)
        work.send_key(payload["key"] if kind == "mutable" else key)


def kill_scheduler(owner: str) -> None:
    """Kill the process that ticks for an owner; its supervisor starts the next."""
    servers = whereis(scenario_children.SERVERS)  # of whichever in-process build runs here
    assert isinstance(servers, Supervisor)  # noqa: S101 - the tree says so
    process = servers._child(owner).process  # noqa: SLF001 - a fault comes uninvited
    assert process is not None  # noqa: S101 - it ticks
    process.kill()
