"""The node: asked for an owner, it answers with the present balance in the smallest unit."""

from __future__ import annotations

from urllib.parse import quote

import httpx

from scenarios import http, settings


def fetch_balance(owner: str) -> int:
    """The owner's balance; raise ServiceError where the node fails."""
    return _balance(http.send(_request(owner)))


async def afetch_balance(owner: str) -> int:
    """As `fetch_balance`, for a coroutine."""
    return _balance(await http.asend(_request(owner)))


def _request(owner: str) -> httpx.Request:
    return http.request(
        "GET",
        f"{settings.current().node_url}/balances/{quote(owner, safe='')}",
    )


def _balance(response: httpx.Response) -> int:
    return int(response.json()["balance"])
