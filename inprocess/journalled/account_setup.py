"""Deferred account set-up that survives a kill: two jobs of the journal, independent of each other.

Both are written in one transaction before the call returns, so either both are taken or none. Each is retried
by itself, for hours, and a job whose process was killed runs again: at least once.
"""

from __future__ import annotations

import asyncio
import os
from typing import Final

from inprocess.journal import durable
from inprocess.journalled import application
from inprocess.journalled.records import attempt, refused
from inprocess.supervision.core.restarts import Backoff
from scenarios import crm, fulfillment, jobs, users
from scenarios.database import engine
from scenarios.users import User

__all__ = ["ATTEMPTS_VARIABLE", "BACKOFF", "MAX_ATTEMPTS", "set_up_user_account"]

#: Waits of 0.2, 0.4, 0.8 s … up to an hour, each up to 10 % longer at random: 12 hours in all.
BACKOFF: Final = Backoff(initial_s=0.2, factor=2.0, max_s=3600.0, jitter=0.1)
#: The variable that says at which failure a piece is dead, and its default.
ATTEMPTS_VARIABLE: Final = "QUEUE_OR_TASK_JOURNAL_ATTEMPTS"
MAX_ATTEMPTS: Final = int(os.environ.get(ATTEMPTS_VARIABLE) or 25)
#: An attempt that takes longer has failed: above the 5 s that one call to an outside service may take.
ATTEMPT_TIMEOUT_S: Final = 7.0


def set_up_user_account(user: User) -> None:
    """Write both pieces and return when they are on disk; see `scenarios.contract.AccountSetup`.

    A coroutine calls it in a thread: a commit takes a millisecond, or as long as another writer holds the
    database. Raise RefusedError where the journal cannot be written. A piece of this user that has not ended
    is not written again.
    """
    application.home()
    with refused(f"account set-up of {user.id}"), engine().begin() as transaction:
        create_contact.enqueue(
            user.id, within=transaction, key=jobs.crm(user.id), journal=application.journal()
        )
        find_center.enqueue(
            user.id, within=transaction, key=jobs.fulfillment(user.id), journal=application.journal()
        )


@durable(name="account_setup.create_contact", retry=BACKOFF, max_attempts=MAX_ATTEMPTS)
async def create_contact(user_id: str) -> None:
    """Create the user's contact in the CRM and store its id."""
    with attempt(jobs.ACCOUNT_SETUP, jobs.crm(user_id)):
        user = await asyncio.to_thread(users.get, user_id)
        async with asyncio.timeout(ATTEMPT_TIMEOUT_S):
            crm_id = await crm.acreate_contact(user)
        await asyncio.to_thread(users.set_crm_id, user_id, crm_id)


@durable(name="account_setup.find_center", retry=BACKOFF, max_attempts=MAX_ATTEMPTS)
async def find_center(user_id: str) -> None:
    """Ask for the nearest fulfilment centre and store it."""
    with attempt(jobs.ACCOUNT_SETUP, jobs.fulfillment(user_id)):
        user = await asyncio.to_thread(users.get, user_id)
        async with asyncio.timeout(ATTEMPT_TIMEOUT_S):
            center_id = await fulfillment.anearest_center(user)
        await asyncio.to_thread(users.set_fulfillment_center_id, user_id, center_id)
