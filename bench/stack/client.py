"""What is asked of a side that runs: of its app, of the services, of the proxy before its broker."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import httpx

from bench.stack.parts import Parts

#: Seconds that one call to the app's own endpoints may take.
APP_TIMEOUT_S = 5.0
#: Seconds that handing an odd job over may take: 50 MB through a broker are slow.
ODD_TIMEOUT_S = 30.0


class Asks(Parts):
    """The parts of a side, and requests to them."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        #: Where the services are, by name.
        self.world: dict[str, str] = {}
        #: Whose balance the app was asked to sync.
        self.owners: list[str] = []

    async def odd(self, kind: str, name: str, **options: Any) -> int:
        """Hand an odd job over (`fault_jobs.endpoint`); return the HTTP status, 0 where none came."""
        from bench.app.fault_jobs import MARK  # late: most stacks have none

        key = f"{self.context['block']}{MARK}{name}"
        try:
            answer = await self.call(
                "POST", "/odd", json={"kind": kind, "key": key, "options": options}, timeout=ODD_TIMEOUT_S
            )
        except httpx.HTTPError:
            return 0
        return answer.status_code

    async def sync(self, owners: Iterable[str]) -> None:
        """Have the app sync these owners from now on."""
        for owner in owners:
            (await self.call("PUT", f"/sync/{owner}")).raise_for_status()
            self.owners.append(owner)

    async def proxy(self, method: str, path: str, **toxic: Any) -> dict[str, Any]:
        """Tell the proxy in front of the broker (`bench.world.proxy.control`); return its state."""
        async with httpx.AsyncClient(trust_env=False, timeout=APP_TIMEOUT_S) as client:
            answer = await client.request(method, f"{self.proxy_url}{path}", json=toxic)
            answer.raise_for_status()
        state: dict[str, Any] = answer.json()
        return state

    async def set_service(self, service: str, **mode: Any) -> None:
        """Tell a service how to behave from now on (see `bench.world`)."""
        async with httpx.AsyncClient(trust_env=False, timeout=APP_TIMEOUT_S) as client:
            answer = await client.post(
                f"{self.world['control_url']}/faults", json={"service": service, **mode}
            )
            answer.raise_for_status()

    async def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Call an endpoint of the app."""
        async with httpx.AsyncClient(trust_env=False, timeout=APP_TIMEOUT_S) as client:
            return await client.request(method, f"{self.app_url}{path}", **options)
