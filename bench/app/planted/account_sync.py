"""The periodic sync by a side with known truth."""

from __future__ import annotations

import asyncio
from functools import partial

from bench.app.planted.engine import engine
from scenarios import balances, jobs, ledger, node
from scenarios.balances import Balance


def start(owner: str) -> None:
    """Start the sync of the owner."""
    balances.activate(owner)
    engine.sync(owner, partial(_sync, owner))


def stop(owner: str) -> None:
    """Stop the sync of the owner."""
    balances.deactivate(owner)
    engine.stop_sync(owner)


def state(owner: str) -> Balance | None:
    """The last stored balance."""
    return balances.get(owner)


async def _sync(owner: str) -> None:
    with ledger.attempt(jobs.ACCOUNT_SYNC, jobs.sync(owner)):
        await asyncio.to_thread(balances.store, owner, await node.afetch_balance(owner))
