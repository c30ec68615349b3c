"""Follows the owners that the database says are to be synced, in the process that ticks.

An owner may have been started in another process of the app, or before this one began.
"""

from __future__ import annotations

import asyncio
import os
from typing import Final

from inprocess.account_sync import POLICY_VARIABLE
from inprocess.scenario_children import INTERVAL_S, RUNS, SERVERS, SYNC, AccountSync
from inprocess.supervision.core.errors import Refused
from inprocess.supervision.core.names import whereis
from inprocess.supervision.periodic.periodic import Periodic
from inprocess.supervision.supervisors.supervisor import Supervisor
from inprocess.supervision.tasks.child import Child
from inprocess.supervision.tasks.task_supervisor import TaskSupervisor
from scenarios import balances

#: Name of the process.
FOLLOW: Final = "account_sync.follow"


def start(*, name: str) -> Periodic:
    """Look at the database every INTERVAL_S from now on, and return the process."""
    return Periodic.start(_look, interval_s=INTERVAL_S, name=name)


def _look() -> Child | Refused:
    runs = whereis(RUNS)
    if not isinstance(runs, TaskSupervisor):
        return Refused("not_running", f"{RUNS} is being restarted")
    return runs.start_child(_follow, name=FOLLOW)


async def _follow() -> None:
    servers, sync = whereis(SERVERS), whereis(SYNC)
    if not isinstance(servers, Supervisor) or not isinstance(sync, AccountSync):
        return  # being restarted
    ticking = {str(name) for name, _ in servers.which_children()}
    wanted = set(await asyncio.to_thread(balances.active_owners))
    policy = os.environ.get(POLICY_VARIABLE) or "anchored"
    for owner in sorted(wanted - ticking):
        sync.cast(("start", owner, policy))
    for owner in sorted(ticking - wanted):
        row = await asyncio.to_thread(balances.get, owner)
        if row is not None and not row.active:  # not one that was started since the look
            sync.cast(("stop", owner, ""))
