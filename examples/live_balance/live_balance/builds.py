"""Which build keeps the balances fresh: the import below is the whole difference.

In-process, a GenServer an owner fetches the balance on the app's own loop. With Celery, beat queues a task
an owner each second, and a worker fetches. The page asks `account_sync.state(owner)` of either.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from scenarios import database

if os.environ.get("LIVE_BALANCE_BUILD", "in-process") == "celery":
    from celery_impl import account_sync
else:
    from inprocess import account_sync, application

__all__ = ["account_sync", "lifespan"]


@asynccontextmanager
async def lifespan(_web: object) -> AsyncIterator[None]:
    """Run the build's own processes as long as the app: Celery's run by themselves."""
    database.create_tables()
    if account_sync.__name__.startswith("celery_impl"):
        yield
        return
    async with application.lifespan():
        yield
