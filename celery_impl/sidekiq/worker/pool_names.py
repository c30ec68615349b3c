"""Names of pools for `celery worker -P` and `worker_pool`, beside Celery's own.

`-P` takes only the names that `celery.concurrency` knew when `celery.bin.worker` was imported. Celery has no
entry point for a pool, so both tables are extended: by the module behind our `celery sidekiq` command, which
every `celery` command imports, and by `Sidekiq(app)`. A pool is imported when it is used.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from celery import concurrency

#: Each name, and the pool that it means.
POOLS: Final = {
    "aio": "inprocess.celery.worker_pool.pool:TaskPool",
    "swarm": "celery_impl.sidekiq.swarm.pool:SwarmPool",
}


def register() -> None:
    """Make the names known to Celery; once is enough."""
    celerys: Any = concurrency
    for name, pool in POOLS.items():
        celerys.ALIASES.setdefault(name, pool)
    command: Any = sys.modules.get("celery.bin.worker")
    if command is not None:
        command.WORKERS_POOL.choices = celerys.get_available_pool_names()
