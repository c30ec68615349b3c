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

import asyncio
import os
from collections.abc import Mapping
from functools import partial
from typing import Final, Literal, TypedDict, get_args

from inprocess import application
from inprocess.supervision.core.errors import AlreadyStartedError, NoSuchChildError, Refused
from inprocess.supervision.core.names import whereis
from inprocess.supervision.core.process import log
from inprocess.supervision.periodic.periodic import Periodic
from inprocess.supervision.periodic.policies import Misfire, Overlap
from inprocess.supervision.periodic.work_then_rearm import WorkThenRearm
from inprocess.supervision.servers.gen_server import GenServer
from inprocess.supervision.supervisors.supervisor import ChildSpec, Supervisor
from inprocess.supervision.tasks.child import Child
from inprocess.supervision.tasks.task_supervisor import TaskSupervisor
from scenarios import balances, jobs, ledger, node
from scenarios.balances import Balance
from scenarios.contract import RefusedError

Policy = Literal["anchored", "anchored-spawn", "anchored-catch-up", "work-then-rearm"]


class _Options(TypedDict, total=False):
    overlap: Overlap
    misfire: Misfire


#: Seconds between two syncs of an owner.
INTERVAL_S = 1.0
#: Names of the processes, see `application`.
SYNC, RUNS, SERVERS = "account_sync", "account_sync.runs", "account_sync.servers"
#: What sets the anchored policies apart, as options of `Periodic`.
_ANCHORED: Final[Mapping[str, _Options]] = {
    "anchored": {},
    "anchored-spawn": {"overlap": "allow"},
    "anchored-catch-up": {"misfire": "catch_up"},
}
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


def child_specs() -> list[ChildSpec]:
    """The three processes, for the application's tree."""
    return [
        ChildSpec(RUNS, partial(TaskSupervisor.start, name=RUNS)),
        ChildSpec(SERVERS, partial(Supervisor.start, name=SERVERS)),
        ChildSpec(SYNC, partial(AccountSync.start, name=SYNC)),
    ]


class AccountSync(GenServer):
    """Starts and stops the owners' servers, one request after the other."""

    is_quiet = False

    def quiet(self) -> None:
        """Refuse new owners."""
        self.is_quiet = True

    async def handle_cast(self, message: tuple[str, str, str], /) -> None:
        """Serve `start` and `stop`; a failure is logged and the next request served."""
        action, owner, policy = message
        servers = whereis(SERVERS)
        assert isinstance(servers, Supervisor)  # noqa: S101 - the tree says so
        try:
            if action == "start":
                await _start(servers, owner, policy)
            else:
                await _stop(servers, owner)
                await asyncio.to_thread(balances.deactivate, owner)
        except Exception:  # noqa: BLE001 - one owner's trouble is not the others'
            log.exception("could not %s the sync of %s", action, owner)


async def _start(servers: Supervisor, owner: str, policy: str) -> None:
    try:
        await servers.start_child(_spec(owner, policy))
    except AlreadyStartedError:
        return
    await asyncio.to_thread(balances.activate, owner)


async def _stop(servers: Supervisor, owner: str) -> None:
    """End the owner's server and forget its spec, so that the owner may be started again."""
    try:
        await servers.terminate_child(owner)
        await servers.delete_child(owner)
    except NoSuchChildError:
        return


def _spec(owner: str, policy: str) -> ChildSpec:
    spawn = partial(_spawn, owner)
    if policy == "work-then-rearm":
        return ChildSpec(owner, partial(WorkThenRearm.start, spawn, interval_s=INTERVAL_S))
    t0 = asyncio.get_running_loop().time()
    options = _ANCHORED[policy]
    return ChildSpec(owner, partial(Periodic.start, spawn, interval_s=INTERVAL_S, t0=t0, **options))


def _spawn(owner: str) -> Child | Refused:
    runs = whereis(RUNS)
    if not isinstance(runs, TaskSupervisor):
        return Refused("not_running", f"{RUNS} is being restarted")
    return runs.start_child(_sync, owner, name=jobs.sync(owner))


async def _sync(owner: str) -> None:
    with ledger.attempt(jobs.ACCOUNT_SYNC, jobs.sync(owner)):
        balance = await node.afetch_balance(owner)
        await asyncio.to_thread(balances.store, owner, balance)
