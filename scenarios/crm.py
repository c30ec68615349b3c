"""The CRM: told a user's name and birthday, it answers with the id of the contact it made."""

from __future__ import annotations

import httpx

from scenarios import http, settings
from scenarios.users import User


def create_contact(user: User) -> str:
    """Make the contact and return its id; raise ServiceError where the CRM fails."""
    return _contact_id(http.send(_request(user)))


async def acreate_contact(user: User) -> str:
    """As `create_contact`, for a coroutine."""
    return _contact_id(await http.asend(_request(user)))


def _request(user: User) -> httpx.Request:
    return http.request(
        "POST",
        f"{settings.current().crm_url}/contacts",
        json={"name": user.name, "birthday": user.birthday.isoformat()},
        headers={"Idempotency-Key": user.id},
    )


def _contact_id(response: httpx.Response) -> str:
    return str(response.json()["id"])
