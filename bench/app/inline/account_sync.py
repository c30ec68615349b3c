"""The sync in the call: no schedule, the balance is fetched by whoever asks for it."""

from __future__ import annotations

from scenarios import balances, jobs, ledger, node
from scenarios.balances import Balance


def start(owner: str) -> None:
    """Have `state` fetch the owner's balance from now on."""
    balances.activate(owner)


def stop(owner: str) -> None:
    """Have `state` answer with the last stored balance from now on."""
    balances.deactivate(owner)


def state(owner: str) -> Balance | None:
    """Fetch, store and return the balance of a started owner; raise ServiceError where the node fails."""
    present = balances.get(owner)
    if present is None or not present.active:
        return present
    with ledger.attempt(jobs.ACCOUNT_SYNC, jobs.sync(owner)):
        balances.store(owner, node.fetch_balance(owner))
    return balances.get(owner)
