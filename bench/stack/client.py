"""The HTTP client of a running side: calls its app, the services and the proxy before its broker."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import httpx

from bench.ledger.job_names import MARK

#: Seconds that one call to the app's own endpoints may take.
APP_TIMEOUT_S = 5.0
#: Seconds that submitting a fault job may take: 50 MB through a broker are slow.
FAULT_JOB_TIMEOUT_S = 30.0


class Addresses(Protocol):
    """Where the app and the proxy listen; either may change during the block."""

    @property
    def app_url(self) -> str:
        """Base URL of the app."""

    @property
    def proxy_url(self) -> str:
        """Base URL of the proxy's control server; empty without a proxy."""


class SideClient:
    """Requests to one side in one block."""

    def __init__(self, addresses: Addresses, block: str) -> None:
        self._addresses = addresses
        self._block = block
        #: Where the services are, by name.
        self.world: dict[str, str] = {}
        #: Owners whose balance the app syncs.
        self.owners: list[str] = []

    async def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Call an endpoint of the app."""
        async with httpx.AsyncClient(trust_env=False, timeout=APP_TIMEOUT_S) as client:
            return await client.request(method, f"{self._addresses.app_url}{path}", **options)

    async def fault_job(self, kind: str, name: str, **options: Any) -> int:
        """Submit a fault job (`fault_jobs.endpoint`); return the HTTP status, 0 for none."""
        body = {"kind": kind, "key": f"{self._block}{MARK}{name}", "options": options}
        try:
            answer = await self.call("POST", "/fault-jobs", json=body, timeout=FAULT_JOB_TIMEOUT_S)
        except httpx.HTTPError:
            return 0
        return answer.status_code

    async def sync(self, owners: Iterable[str]) -> None:
        """Start the sync of these owners."""
        for owner in owners:
            (await self.call("PUT", f"/sync/{owner}")).raise_for_status()
            self.owners.append(owner)

    async def proxy(self, method: str, path: str, **toxic: Any) -> dict[str, Any]:
        """Send a request to the proxy before the broker (`bench.world.proxy.control`); return its state."""
        async with httpx.AsyncClient(trust_env=False, timeout=APP_TIMEOUT_S) as client:
            answer = await client.request(method, f"{self._addresses.proxy_url}{path}", json=toxic)
            answer.raise_for_status()
        state: dict[str, Any] = answer.json()
        return state

    async def set_service(self, service: str, **mode: Any) -> None:
        """Set how a service behaves from now on (see `bench.world`)."""
        async with httpx.AsyncClient(trust_env=False, timeout=APP_TIMEOUT_S) as client:
            answer = await client.post(
                f"{self.world['control_url']}/faults", json={"service": service, **mode}
            )
            answer.raise_for_status()
