"""Deferred account set-up: two transient children of a named TaskSupervisor, independent of each other.

Each child has its own restart window and back-off. OTP's default is one window for all children: a CRM
that is down for a second would end every user's set-up at the fourth failure. The price is that nothing
escalates: a child that keeps failing is given up alone, with a crash log, and what it shares with the
others is not restarted.

Work that waits for its next attempt is only in memory: it is lost if the app dies meanwhile. A retry
repeats only its own piece, not the other one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from weakref import WeakKeyDictionary

from inprocess import application
from inprocess.scenario_children import SETUP as SUPERVISOR
from inprocess.supervision.core.errors import Refused
from inprocess.supervision.core.restarts import Backoff, RestartIntensity
from inprocess.supervision.tasks.child import Child, current_attempt
from inprocess.supervision.tasks.task_supervisor import TaskSupervisor
from scenarios import crm, fulfillment, jobs, ledger, users
from scenarios.contract import RefusedError
from scenarios.users import User

__all__ = ["BACKOFF", "INTENSITY", "MAX_ATTEMPTS", "SUPERVISOR", "set_up_user_account"]

#: Attempts at each service at once; the others wait. Without it a burst of 1,000 opened 1,000 calls at once,
#: which made each other time out and kept the loop so busy that the app did not answer.
MAX_ATTEMPTS = 32
#: A piece is given up at its sixth failure within a minute.
INTENSITY = RestartIntensity(max_restarts=5, max_seconds=60.0)
#: Waits of 0.2, 0.4, 0.8, 1.6 and 3.2 s, each up to 10 % longer at random.
BACKOFF = Backoff(initial_s=0.2, factor=2.0, max_s=5.0, jitter=0.1)
#: An attempt that takes longer has failed: above the 5 s that one call to an outside service may take.
ATTEMPT_TIMEOUT_S = 7.0


def set_up_user_account(user: User) -> None:
    """Start both pieces and return; see `scenarios.contract.AccountSetup`.

    Raise RefusedError beyond MAX_CHILDREN, while draining, and while the supervisor restarts.
    """
    supervisor = application.process(SUPERVISOR)
    assert isinstance(supervisor, TaskSupervisor)  # noqa: S101 - the tree says so
    refused = supervisor.atomically(partial(_start_both, supervisor, user))
    if refused is not None:
        raise RefusedError(f"account set-up of {user.id}: {refused.text}")


def _start_both(supervisor: TaskSupervisor, user: User) -> Refused | None:
    """Start both or neither. No child begins before the loop's next turn, so the first can be taken back."""
    first = _start(supervisor, _create_contact, user, jobs.crm(user.id))
    if isinstance(first, Refused):
        return first
    second = _start(supervisor, _find_center, user, jobs.fulfillment(user.id))
    if isinstance(second, Refused):
        first.ask()
        return second
    return None


def _start(
    supervisor: TaskSupervisor, work: Callable[[User], Awaitable[None]], user: User, job: str
) -> Child | Refused:
    return supervisor.start_child(
        work,
        user,
        restart="transient",
        name=job,
        intensity=INTENSITY,
        backoff=BACKOFF,
        on_give_up=_given_up,
    )


async def _create_contact(user: User) -> None:
    async with _slot("crm"):
        await _attempt_contact(user)


async def _find_center(user: User) -> None:
    async with _slot("fulfillment"):
        await _attempt_center(user)


def _slot(service: str) -> asyncio.Semaphore:
    """Return the running loop's slots for a service. One service that hangs blocks no call to the other."""
    slots = _slots.setdefault(asyncio.get_running_loop(), {})
    return slots.setdefault(service, asyncio.Semaphore(MAX_ATTEMPTS))


_slots: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Semaphore]] = WeakKeyDictionary()


async def _attempt_contact(user: User) -> None:
    with ledger.attempt(jobs.ACCOUNT_SETUP, jobs.crm(user.id), current_attempt()):
        async with asyncio.timeout(ATTEMPT_TIMEOUT_S):
            crm_id = await crm.acreate_contact(user)
        await asyncio.to_thread(users.set_crm_id, user.id, crm_id)


async def _attempt_center(user: User) -> None:
    with ledger.attempt(jobs.ACCOUNT_SETUP, jobs.fulfillment(user.id), current_attempt()):
        async with asyncio.timeout(ATTEMPT_TIMEOUT_S):
            center_id = await fulfillment.anearest_center(user)
        await asyncio.to_thread(users.set_fulfillment_center_id, user.id, center_id)


def _given_up(child: Child, error: BaseException | None) -> None:
    ledger.failed(jobs.ACCOUNT_SETUP, child.name, where="log", error=error)
