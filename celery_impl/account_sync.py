"""Periodic sync on Celery: one beat entry a second, which fans out one task for each active owner.

Which owners are synced is in the database, so `start` and `stop` need no beat, no broker and no
worker at hand. No sync is retried: the next tick is the retry.

- stock: Celery's own beat, one process, since two would sync twice.
- hardened: `sidekiq.beat`, on an absolute grid, with as many standing by as one likes; a tick is dropped
  while the one before is still fanning out. A sync that has not begun within its interval expires: a
  backlog of stale ticks helps nobody. Nor is an owner synced twice at once: the job is unique.
"""

from __future__ import annotations

from typing import Any

from celery_impl import names
from celery_impl.app import app, profile
from celery_impl.enqueue import enqueue
from scenarios import balances, jobs, ledger, node
from scenarios.balances import Balance


def start(owner: str) -> None:
    """Sync the owner every second from the next tick of beat on; twice is the same as once."""
    balances.activate(owner)


def stop(owner: str) -> None:
    """Sync the owner no longer; one that is queued or running already still happens."""
    balances.deactivate(owner)


def state(owner: str) -> Balance | None:
    """Return the last stored balance with `last_run_at`, or None where the owner was never started."""
    return balances.get(owner)


@app.task(name=names.SYNC_ALL, shared=False, ignore_result=True, sidekiq_retry=False)
def sync_all() -> None:
    """Queue one sync for each active owner; beat runs this every second."""
    owners = balances.active_owners()
    options: dict[str, Any] = {"expires": profile.sync_expires_s} if profile.sync_expires_s else {}
    if owners:
        enqueue(*(sync_owner.s(owner).set(**options) for owner in owners))


@app.task(
    name=names.SYNC_OWNER, shared=False, ignore_result=True, sidekiq_retry=False, **profile.sync_options
)
def sync_owner(owner: str) -> None:
    """Fetch the owner's balance and store it."""
    with ledger.attempt(jobs.ACCOUNT_SYNC, jobs.sync(owner)):
        balances.store(owner, node.fetch_balance(owner))
