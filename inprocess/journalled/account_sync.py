"""Periodic sync that goes on after a kill: the owners that are to be synced are rows of the database.

`start` and `stop` write the owner's row and return when it is on disk. Of several processes of the app on one
host, the one that holds the lease ticks for all; another takes over when it ends. Policies are those of
`inprocess.account_sync`.
"""

from __future__ import annotations

from inprocess.account_sync import (
    INTERVAL_S,
    POLICY_VARIABLE,
    Policy,
    ask_to_start,
    ask_to_stop,
    checked,
    state,
)
from inprocess.journalled import application
from inprocess.scenario_children import RUNS, SERVERS, SYNC
from scenarios import balances

__all__ = ["INTERVAL_S", "POLICY_VARIABLE", "RUNS", "SERVERS", "SYNC", "Policy", "start", "state", "stop"]


def start(owner: str, policy: Policy | None = None) -> None:
    """Sync the owner every INTERVAL_S from now on; see `scenarios.contract.AccountSync`.

    Raise ValueError for an unknown policy and RefusedError while the app is draining.
    """
    chosen = checked(policy)
    server = application.process(SYNC)
    balances.activate(owner)
    ask_to_start(server, owner, chosen)


def stop(owner: str) -> None:
    """Stop syncing the owner; see `scenarios.contract.AccountSync`."""
    server = application.process(SYNC)
    balances.deactivate(owner)
    ask_to_stop(server, owner)
