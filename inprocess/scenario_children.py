"""The processes of the three scenarios: what `application` puts into its tree, and their work.

- `account_setup`: a TaskSupervisor with at most MAX_CHILDREN children.
- `account_sync`: a GenServer that starts and stops the owners' servers, one request after the other;
  those servers; and their runs. Where QUEUE_OR_TASK_SYNC_LEASE names a file, servers and runs are `Leased`:
  of several replicas of the app on one host, the one that holds the file's lock ticks for all owners that
  it was asked for. Where QUEUE_OR_TASK_SYNC_STATE names a file, the servers keep their last ticks in it.

The scenarios' public functions are in `account_setup`, `account_sync` and `welcome_email`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, Literal, TypedDict

from inprocess.supervision.core.errors import AlreadyStartedError, NoSuchChildError, Refused
from inprocess.supervision.core.log import log
from inprocess.supervision.core.names import whereis
from inprocess.supervision.leases.file import FileLease
from inprocess.supervision.leases.leased import Leased
from inprocess.supervision.periodic.periodic import Periodic
from inprocess.supervision.periodic.policies import Misfire, Overlap
from inprocess.supervision.periodic.tick_stores.file import FileTickStore
from inprocess.supervision.periodic.work_then_rearm import FixedDelay
from inprocess.supervision.servers.gen_server import GenServer
from inprocess.supervision.supervisors.supervisor import ChildSpec, Supervisor
from inprocess.supervision.tasks.child import Child
from inprocess.supervision.tasks.task_supervisor import TaskSupervisor
from scenarios import balances, jobs, ledger, node

Policy = Literal["anchored", "anchored-spawn", "anchored-catch-up", "work-then-rearm"]


class _Options(TypedDict, total=False):
    overlap: Overlap
    misfire: Misfire


#: Name of the supervisor of account set-up.
SETUP = "account_setup"
#: Pieces of set-up in memory at once, two a user. Beyond it the caller is refused.
MAX_CHILDREN = 10_000
#: Names of the processes of account sync, see `application`.
SYNC, RUNS, SERVERS = "account_sync", "account_sync.runs", "account_sync.servers"
#: Name of the process that runs the sync in one of several replicas, and the variable with its lock file.
LEASED, LEASE_VARIABLE = "account_sync.lease", "QUEUE_OR_TASK_SYNC_LEASE"
#: Seconds between two syncs of an owner, and the variable with another number of them.
INTERVAL_S, INTERVAL_VARIABLE = 1.0, "QUEUE_OR_TASK_SYNC_INTERVAL_S"
#: The variable with the file in which the owners' servers keep their last ticks over restarts of the app.
STATE_VARIABLE = "QUEUE_OR_TASK_SYNC_STATE"
#: The options of `Periodic` for each anchored policy.
_ANCHORED: Final[Mapping[str, _Options]] = {
    "anchored": {},
    "anchored-spawn": {"overlap": "allow"},
    "anchored-catch-up": {"misfire": "catch_up"},
}


def child_specs() -> list[ChildSpec]:
    """Return the specs of the processes, in the order of their start."""
    setup = ChildSpec(SETUP, partial(TaskSupervisor.start, name=SETUP, max_children=MAX_CHILDREN))
    return [setup, *sync_specs()]


def sync_specs(lease: str | None = None, ticking: Sequence[ChildSpec] = ()) -> list[ChildSpec]:
    """Return the specs of the processes of account sync, in the order of their start.

    `lease` names the lock file where LEASE_VARIABLE does not; `ticking` are further children of what ticks.
    """
    policies: dict[str, str] = {}
    sync = ChildSpec(SYNC, partial(AccountSync.start, policies, name=SYNC))
    if path := os.environ.get(LEASE_VARIABLE) or lease:
        tick = partial(_start_leased, policies, ticking)
        return [ChildSpec(LEASED, partial(Leased.start, tick, FileLease(path), name=LEASED)), sync]
    return [*_ticking(), *ticking, sync]


def _ticking(servers: Sequence[ChildSpec] = ()) -> list[ChildSpec]:
    return [
        ChildSpec(RUNS, partial(TaskSupervisor.start, name=RUNS)),
        ChildSpec(SERVERS, partial(Supervisor.start, servers, name=SERVERS)),
    ]


def _start_leased(policies: Mapping[str, str], ticking: Sequence[ChildSpec], _token: int) -> Supervisor:
    """Tick for every owner that this replica was asked for, now that it holds the lease."""
    servers = [_spec(owner, policy) for owner, policy in policies.items()]
    return Supervisor.start([*_ticking(servers), *ticking])


class AccountSync(GenServer):
    """Starts and stops the owners' servers, one request after the other."""

    is_quiet = False

    def init(self, policies: dict[str, str], /) -> None:
        """Start with the policies of the owners that are synced, which outlive a restart of this process."""
        self._policies = policies

    def quiet(self) -> None:
        """Refuse new owners."""
        self.is_quiet = True

    async def handle_cast(self, message: tuple[str, str, str], /) -> None:
        """Start or stop the sync of an owner. A failure is logged, and the next request is handled."""
        action, owner, policy = message
        servers = whereis(SERVERS)
        assert isinstance(servers, Supervisor) or whereis(LEASED) is not None  # noqa: S101 - the tree says so
        try:
            if action == "start":
                self._policies.setdefault(owner, policy)
                await _start(servers, owner, policy)
            else:
                self._policies.pop(owner, None)
                await _stop(servers, owner)
                await asyncio.to_thread(balances.deactivate, owner)
        except Exception:  # noqa: BLE001 - a failure for one owner must not stop the others
            log.exception("could not %s the sync of %s", action, owner)


async def _start(servers: object, owner: str, policy: str) -> None:
    """Start the owner's server; without `servers`, another replica holds the lease and ticks."""
    if isinstance(servers, Supervisor):
        with suppress(AlreadyStartedError):
            await servers.start_child(_spec(owner, policy))
    await asyncio.to_thread(balances.activate, owner)


async def _stop(servers: object, owner: str) -> None:
    """Stop the owner's server and delete its spec, so that the owner can be started again."""
    if not isinstance(servers, Supervisor):
        return
    try:
        await servers.terminate_child(owner)
        await servers.delete_child(owner)
    except NoSuchChildError:
        return


def _spec(owner: str, policy: str) -> ChildSpec:
    spawn = partial(_spawn, owner)
    interval_s = float(os.environ.get(INTERVAL_VARIABLE, INTERVAL_S))
    if policy == "work-then-rearm":
        return ChildSpec(owner, partial(FixedDelay.start, spawn, interval_s=interval_s))
    start = partial(Periodic.start, spawn, interval_s=interval_s, **_ANCHORED[policy])
    if path := os.environ.get(STATE_VARIABLE):
        return ChildSpec(owner, partial(start, state=FileTickStore(path), name=jobs.sync(owner)))
    return ChildSpec(owner, partial(start, t0=asyncio.get_running_loop().time()))


def _spawn(owner: str) -> Child | Refused:
    runs = whereis(RUNS)
    if not isinstance(runs, TaskSupervisor):
        return Refused("not_running", f"{RUNS} is being restarted")
    return runs.start_child(_sync, owner, name=jobs.sync(owner))


async def _sync(owner: str) -> None:
    with ledger.attempt(jobs.ACCOUNT_SYNC, jobs.sync(owner)):
        balance = await node.afetch_balance(owner)
        await asyncio.to_thread(balances.store, owner, balance)
