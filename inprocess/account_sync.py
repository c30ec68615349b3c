"""Periodic sync: one GenServer an owner, by one of four policies.

| policy            | what it is                                                                        |
|-------------------|-----------------------------------------------------------------------------------|
| anchored          | the default, anchored + skip: on the grid t0 + kT, none while the last run lasts    |
| anchored-spawn    | anchored + spawn: a run at each tick, beside the last one where that still runs     |
| anchored-catch-up | anchored + catch up: the ticks that a stall has passed over are run one by one      |
| work-then-rearm   | fixed delay after completion, the article's: it works, then waits for the interval  |

The grid of an anchored one is kept over the server's restarts.

A run that fails is logged and the next tick goes on. `start` and `stop` may be called from a
coroutine and so do no database work: they send a cast to one server, which deals with them in
order, starts ticking first and then writes the owner's row in a thread. An owner that is
marked active in the database is not resumed by itself after a restart of the app.
"""

from __future__ import annotations

import os
from typing import get_args

from inprocess import application
from inprocess.scenario_children import INTERVAL_S, RUNS, SERVERS, SYNC, AccountSync, Policy
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
    chosen = policy or os.environ.get(POLICY_VARIABLE) or "anchored"
    if chosen not in get_args(Policy):
        raise ValueError(f"the sync policy is {chosen!r}: expected one of {', '.join(get_args(Policy))}")
    server = application.process(SYNC)
    assert isinstance(server, AccountSync)  # noqa: S101 - the tree says so
    if server.is_quiet:
        raise RefusedError(f"sync of {owner}: the app is shutting down and takes no new work")
    server.cast(("start", owner, chosen))


def stop(owner: str) -> None:
    """Sync the owner no longer; see `scenarios.contract.AccountSync`."""
    server = application.process(SYNC)
    assert isinstance(server, AccountSync)  # noqa: S101 - the tree says so
    server.cast(("stop", owner, ""))


def state(owner: str) -> Balance | None:
    """The last stored balance; see `scenarios.contract.AccountSync`. Reads the database."""
    return balances.get(owner)
