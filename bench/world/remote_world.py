"""A standing world on another host (`bench.world.shared_world`), as a run sees it.

What its services and workers wrote is fetched into the block's own ledger folder while the block runs,
each event with the name of the host that stamped it; from there on it is read like any other.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx

from bench.errors import BenchError
from bench.world import PROTOCOL

#: Seconds that a world may take to answer.
ANSWER_S = 5.0
#: Seconds between two looks at what the world's ledger has new.
FETCH_S = 0.1
#: The file of a block's ledger that holds what was fetched; no process has the number 0.
FETCHED = "events-0-fetched.jsonl"
#: How to start a world, for whoever has none.
START = "on its host run: queue-or-task world --bind ADDRESS --port PORT"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteWorld:
    """A standing world that answered."""

    url: str
    #: New each time that it is started.
    id: str
    #: The host whose clock stamps the effects.
    host: str
    #: Where the services are: crm_url, fulfillment_url, node_url, smtp_url and control_url.
    urls: Mapping[str, str]
    #: The run that has it; empty where none has.
    run: str

    @classmethod
    def connect(cls, url: str) -> Self:
        """Connect to the world at the URL; raise BenchError if no world of this version answers."""
        try:
            answer = httpx.get(url, timeout=ANSWER_S, trust_env=False)
            told = answer.raise_for_status().json()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            why = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise BenchError(f"--world-url {url} does not answer as a world ({why}): {START}") from error
        except ValueError as error:
            raise BenchError(f"--world-url {url} is no queue-or-task world: {START}") from error
        if not isinstance(told, dict) or "world" not in told:
            raise BenchError(f"--world-url {url} is no queue-or-task world: {START}")
        if told["world"] != PROTOCOL:
            raise BenchError(
                f"--world-url {url} speaks protocol {told['world']}, this version {PROTOCOL}: "
                "use the same version of queue-or-task on both hosts"
            )
        try:
            return cls(url=url, **{name: told[name] for name in ("id", "host", "urls", "run")})
        except KeyError as error:
            raise BenchError(f"--world-url {url} tells no {error}: start another world there") from error

    def release(self, run: str) -> None:
        """End the run at the world. A world that does not answer ends it by its own time limit."""
        with contextlib.suppress(httpx.HTTPError):
            httpx.delete(f"{self.url.rstrip('/')}/runs/{run}", timeout=ANSWER_S, trust_env=False)


class RemoteLedger:
    """One block at a standing world: begun, marked, and its events fetched."""

    def __init__(self, world: RemoteWorld, folder: Path, context: Mapping[str, str]) -> None:
        self._url = world.url.rstrip("/")
        self._file = folder / FETCHED
        self._context = dict(context)
        self._after = 0
        self._one_at_a_time = asyncio.Lock()
        self._client = httpx.AsyncClient(trust_env=False, timeout=ANSWER_S)
        self._fetching: asyncio.Task[None] | None = None

    async def begin(self, latency_ms: float | None) -> None:
        """Reset the services to this latency and start to fetch; raise BenchError if another run is there."""
        run, block = self._context["run"], self._context["block"]
        body = {"run": run, "block": block, "latency_ms": latency_ms}
        told = await self._request("POST", "/blocks", json=body)
        self._after = int(told["after"])
        self._fetching = asyncio.create_task(self._fetch_on())

    async def mark(self, event: str, fault: int) -> None:
        """Have the world write the event with its own stamp, as soon as it hears of it."""
        body = {"event": event, "block": self._context["block"], "fault": fault}
        await self._request("POST", "/marks", json=body)

    async def fetch(self) -> None:
        """Append what is new to the block's ledger, each event once."""
        async with self._one_at_a_time:
            params = {"run": self._context["run"], "after": str(self._after)}
            told = await self._request("GET", "/events", params=params)
            lines = [self._line(event) for event in told["events"] if self._is_ours(event)]
            with self._file.open("a") as file:
                file.writelines(lines)
            self._after = int(told["next"])

    async def end(self) -> None:
        """Fetch no more. Twice is the same as once."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)
        await self._client.aclose()

    async def _fetch_on(self) -> None:
        """Fetch until the block ends. Errors are ignored here: the last fetch raises them."""
        while True:
            with contextlib.suppress(BenchError):
                await self.fetch()
            await asyncio.sleep(FETCH_S)

    def _is_ours(self, event: Mapping[str, Any]) -> bool:
        block = self._context["block"]
        return event.get("mark") == block or str(event.get("job", "")).startswith(f"{block}-")

    def _line(self, event: Mapping[str, Any]) -> str:
        context = {name: value for name, value in self._context.items() if name != "host"}
        return f"{json.dumps({**event, **context})}\n"

    async def _request(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        try:
            answer = await self._client.request(method, f"{self._url}{path}", **options)
            told: dict[str, Any] = answer.json() if answer.content else {}
        except (httpx.HTTPError, ValueError) as error:
            raise BenchError(
                f"the world at {self._url} is away: {str(error) or type(error).__name__}"
            ) from error
        if answer.is_error:
            raise BenchError(f"the world at {self._url} answered {answer.status_code}: {told.get('error')}")
        return told
