"""The fulfilment service: told an address, it answers with the id of the nearest centre."""

from __future__ import annotations

import httpx

from scenarios import http, settings
from scenarios.users import User


def nearest_center(user: User) -> str:
    """The id of the centre nearest to the user's address; raise ServiceError where the service fails."""
    return _center_id(http.send(_request(user)))


async def anearest_center(user: User) -> str:
    """As `nearest_center`, for a coroutine."""
    return _center_id(await http.asend(_request(user)))


def _request(user: User) -> httpx.Request:
    return http.request(
        "GET",
        f"{settings.current().fulfillment_url}/nearest",
        params={"address": user.address},
        headers={"Idempotency-Key": user.id},
    )


def _center_id(response: httpx.Response) -> str:
    return str(response.json()["id"])
