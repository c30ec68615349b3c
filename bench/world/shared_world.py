"""What a standing world adds to its control server: it serves runs of another host, block after block.

| request                               | answer                                                     |
|---------------------------------------|------------------------------------------------------------|
| GET /                                 | who this is: `world`, `id`, `host`, `urls`; `run`: who has it |
| POST /blocks {run, block, latency_ms} | the services are well and take so long: {"after": position}; |
|                                       | 409 where another run has the world                        |
| POST /marks {event, block, fault}     | writes `fault_on` or `fault_off`, stamped here: 204          |
| GET /events?run=…&after=N             | {"next": M, "events": […]}: of services and workers, since N |
| POST /events {source, after, events}  | a worker's events from its position on: 204; twice is once |
| DELETE /runs/{run}                    | the run is over, another may have the world: 204            |

A run that was killed has the world until it has asked nothing for `HELD_S` seconds.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable, Mapping
from json import JSONDecodeError
from pathlib import Path
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bench.ledger.tail import LedgerTail
from bench.world import PROTOCOL
from bench.world.faults import SERVICES, ServiceFault, ServiceFaults
from scenarios import ledger

#: Seconds without a question after which a run has gone.
HELD_S = 30.0
#: What a run may mark.
MARKS = ("fault_on", "fault_off")
#: The ledger file of what workers sent; no process has the number 0.
SENT = "events-0-sent.jsonl"

_UNUSABLE = 422
_TAKEN = 409


class HasLatency(Protocol):
    """What takes its time over a request."""

    latency_s: float


class SharedWorld:
    """One standing world: its ledger, its services, and the run that has it."""

    def __init__(
        self, folder: Path, host: str, faults: ServiceFaults, services: Iterable[HasLatency], latency_s: float
    ) -> None:
        self.id = uuid.uuid4().hex[:8]
        self.urls: dict[str, str] = {}
        self._host = host
        self._faults = faults
        self._services = list(services)
        self._latency_s = latency_s
        self._tail = LedgerTail(folder)
        self._sent = folder / SENT
        self._positions: dict[str, int] = {}
        self._run, self._asked = "", 0.0

    def routes(self) -> list[Route]:
        """The requests of the module's table."""
        return [
            Route("/", self._describe),
            Route("/blocks", self._begin_block, methods=["POST"]),
            Route("/marks", self._mark, methods=["POST"]),
            Route("/events", self._send_events),
            Route("/events", self._receive_events, methods=["POST"]),
            Route("/runs/{run}", self._release, methods=["DELETE"]),
        ]

    async def _describe(self, _request: Request) -> Response:
        return JSONResponse(
            {"world": PROTOCOL, "id": self.id, "host": self._host, "urls": self.urls, "run": self._holder()}
        )

    async def _begin_block(self, request: Request) -> Response:
        asked = await _object(request)
        run, latency_ms = str(asked.get("run", "")), asked.get("latency_ms")
        if (holder := self._holder()) and holder != run:
            return _refusal(f"run {holder} has this world", _TAKEN)
        self._run, self._asked = run, time.monotonic()
        for service in SERVICES:
            self._faults.set(ServiceFault(service=service))
        for slow in self._services:
            slow.latency_s = self._latency_s if latency_ms is None else float(latency_ms) / 1000
        return JSONResponse({"after": len(self._tail.events())})

    async def _mark(self, request: Request) -> Response:
        asked = await _object(request)
        if asked.get("event") not in MARKS:
            return _refusal(f"event is {asked.get('event')!r}: expected one of {', '.join(MARKS)}")
        ledger.record(asked["event"], mark=str(asked.get("block", "")), fault=asked.get("fault"))
        return Response(status_code=204)

    async def _send_events(self, request: Request) -> Response:
        if request.query_params.get("run") == self._run:
            self._asked = time.monotonic()
        after = request.query_params.get("after", "0")
        if not after.isdecimal():
            return _refusal(f"after is {after!r}: expected a position")
        events = self._tail.events()
        return JSONResponse({"next": len(events), "events": events[int(after) :]})

    async def _receive_events(self, request: Request) -> Response:
        asked = await _object(request)
        source, after, events = asked.get("source"), asked.get("after"), asked.get("events")
        if not (isinstance(source, str) and isinstance(after, int) and isinstance(events, list)):
            return _refusal("expected source, after and events")
        fresh = events[max(0, self._positions.get(source, 0) - after) :]
        with self._sent.open("a") as file:
            file.writelines(f"{json.dumps(event)}\n" for event in fresh)
        self._positions[source] = max(self._positions.get(source, 0), after + len(events))
        return Response(status_code=204)

    async def _release(self, request: Request) -> Response:
        if request.path_params["run"] == self._run:
            self._run = ""
        return Response(status_code=204)

    def _holder(self) -> str:
        """The run that has the world now, or nothing."""
        return self._run if time.monotonic() - self._asked < HELD_S else ""


async def _object(request: Request) -> Mapping[str, Any]:
    try:
        asked = await request.json()
    except JSONDecodeError:
        return {}
    return asked if isinstance(asked, dict) else {}


def _refusal(why: str, status: int = _UNUSABLE) -> JSONResponse:
    return JSONResponse({"error": why}, status_code=status)
