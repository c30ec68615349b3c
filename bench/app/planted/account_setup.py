"""Account set-up by a side with known truth."""

from __future__ import annotations

import asyncio
from functools import partial

from bench.app.planted.engine import engine
from scenarios import crm, fulfillment, jobs, users
from scenarios.users import User


def set_up_user_account(user: User) -> None:
    """Accept both pieces and return."""
    engine.submit(jobs.ACCOUNT_SETUP, jobs.crm(user.id), partial(_create_contact, user))
    engine.submit(jobs.ACCOUNT_SETUP, jobs.fulfillment(user.id), partial(_find_center, user))


async def _create_contact(user: User) -> None:
    await asyncio.to_thread(users.set_crm_id, user.id, await crm.acreate_contact(user))


async def _find_center(user: User) -> None:
    center = await fulfillment.anearest_center(user)
    await asyncio.to_thread(users.set_fulfillment_center_id, user.id, center)
