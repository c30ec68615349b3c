"""Periodic sync: one periodic server an owner, with one of four policies.

| policy            | meaning                                                                            |
|-------------------|------------------------------------------------------------------------------------|
| anchored          | the default, anchored + skip: on the grid t0 + kT, not while the last run goes on  |
| anchored-spawn    | anchored + spawn: a run at each tick, even while the last run goes on              |
| anchored-catch-up | anchored + catch up: ticks missed in a stall are run one after the other           |
| work-then-rearm   | the article's fixed delay after completion: it works, then waits for the interval  |

The grid of an anchored policy survives restarts of its server.

A failed run is logged, and the next tick runs. `start` and `stop` may be called from a coroutine, so they
do no database work: they cast to one server, which handles them in order, starts the ticks first and
then writes the owner's row in a thread. Owners that are active in the database are not resumed after a
restart of the app.
"""

from __future__ import annotations

import os
from typing import get_args

from inprocess import application
from inprocess.scenario_children import INTERVAL_S, RUNS, SERVERS, SYNC, AccountSync, Policy
from inprocess.supervision.core.process import Process
from scenarios import balances
from scenarios.balances import Balance
from scenarios.contract import RefusedError

__all__ = ["INTERVAL_S", "POLICY_VARIABLE", "RUNS", "SERVERS", "SYNC", "Policy", "start", "state", "stop"]

#: Environment variable that names the policy of owners started without one.
POLICY_VARIABLE = "QUEUE_OR_TASK_SYNC_POLICY"


def start(owner: str, policy: Policy | None = None) -> None:
    """Sync the owner every INTERVAL_S from now on; see `scenarios.contract.AccountSync`.

    Raise ValueError for an unknown policy and RefusedError while the app is draining.
    """
    chosen = checked(policy)
    ask_to_start(application.process(SYNC), owner, chosen)


def stop(owner: str) -> None:
    """Stop syncing the owner; see `scenarios.contract.AccountSync`."""
    ask_to_stop(application.process(SYNC), owner)


def state(owner: str) -> Balance | None:
    """Return the last stored balance; see `scenarios.contract.AccountSync`. Reads the database."""
    return balances.get(owner)


def checked(policy: Policy | None) -> str:
    """Return the policy, or the default; raise ValueError for an unknown one."""
    chosen = policy or os.environ.get(POLICY_VARIABLE) or "anchored"
    if chosen not in get_args(Policy):
        raise ValueError(f"the sync policy is {chosen!r}: expected one of {', '.join(get_args(Policy))}")
    return chosen


def ask_to_start(server: Process, owner: str, policy: str) -> None:
    """Ask the process SYNC to sync an owner; raise RefusedError while the app is draining."""
    assert isinstance(server, AccountSync)  # noqa: S101 - the tree says so
    if server.is_quiet:
        raise RefusedError(f"sync of {owner}: the app is shutting down and takes no new work")
    server.cast(("start", owner, policy))


def ask_to_stop(server: Process, owner: str) -> None:
    """Ask the process SYNC to sync an owner no longer."""
    assert isinstance(server, AccountSync)  # noqa: S101 - the tree says so
    server.cast(("stop", owner, ""))
