"""The CRM, the fulfilment service and the node: real HTTP servers, with faults on request.

| service     | request                                              | answer                     |
|-------------|------------------------------------------------------|----------------------------|
| CRM         | POST /contacts {"name", "birthday"}, Idempotency-Key | 201 {"id"}, or 422         |
| fulfilment  | GET /nearest?address=…, Idempotency-Key              | 200 {"id"}, or 422         |
| node        | GET /balances/{owner}                                | 200 {"owner", "balance"}   |

Each takes its latency, does its work, writes `effect`, and answers. A client that goes away
before the work is done has its request cancelled, as servers do that pass a cancellation on: no
effect. A repeated idempotency key gets the same id and a second effect: duplicates are what the
harness is there to see.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import date
from json import JSONDecodeError
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bench.world import replies
from bench.world.faults import Service, ServiceFault, ServiceFaults
from scenarios import jobs, ledger

#: The answer of an HTTP service that fails, by default.
DEFAULT_STATUS = 503
#: The client went away; sent to nobody.
_GONE = 499

Work = Callable[[Request, str], Awaitable[JSONResponse]]


class Refusal(Exception):  # noqa: N818 - an answer, not a failure of ours
    """The request makes no sense: answered with 422 and this text."""


class HttpService:
    """One service: takes its latency, meets its fault, does its work."""

    def __init__(self, name: Service, faults: ServiceFaults, latency_s: float) -> None:
        self.waiting = 0  # requests that hang now
        self.requests = 0
        self._name = name
        self._faults = faults
        self.latency_s = latency_s

    async def answer(self, request: Request, key: str, work: Work) -> Response:
        """Answer one request of an idempotency key by doing the work, or by what the fault says."""
        await request.body()  # all of it now: it cannot be read once the client has gone
        self.requests += 1
        fault = self._faults.meet(self._name, key)
        if fault and fault.mode == "hang":
            return await self._hang(request)
        await asyncio.sleep(self.latency_s)
        if fault and fault.mode == "status":
            return _failure(fault)
        if fault and fault.mode == "slow":
            await asyncio.sleep(fault.delay_s(key))
        if await request.is_disconnected():
            return Response(status_code=_GONE)
        try:
            return await work(request, key)
        except Refusal as refusal:
            return JSONResponse({"error": str(refusal)}, status_code=422)

    async def _hang(self, request: Request) -> Response:
        self.waiting += 1
        try:
            while (await request.receive())["type"] != "http.disconnect":
                pass
        finally:
            self.waiting -= 1
        return Response(status_code=_GONE)


def crm(service: HttpService) -> Starlette:
    """The CRM, answering through `service`."""

    async def contacts(request: Request) -> Response:
        return await service.answer(request, _key(request), _make_contact)

    return Starlette(routes=[Route("/contacts", contacts, methods=["POST"])])


def fulfillment(service: HttpService) -> Starlette:
    """The fulfilment service, answering through `service`."""

    async def nearest(request: Request) -> Response:
        return await service.answer(request, _key(request), _find_center)

    return Starlette(routes=[Route("/nearest", nearest)])


def node(service: HttpService) -> Starlette:
    """The node, answering through `service`; an owner is its own idempotency key."""

    async def balances(request: Request) -> Response:
        return await service.answer(request, request.path_params["owner"], _tell_balance)

    return Starlette(routes=[Route("/balances/{owner:path}", balances)])


async def _make_contact(request: Request, key: str) -> JSONResponse:
    _checked_key(key)
    _check_contact(await _json(request))
    ledger.record("effect", scenario=jobs.ACCOUNT_SETUP, job=jobs.crm(key))
    return JSONResponse({"id": replies.contact_id(key)}, status_code=201)


async def _find_center(request: Request, key: str) -> JSONResponse:
    _checked_key(key)
    address = request.query_params.get("address")
    if not address:
        raise Refusal("address can't be blank")
    center = replies.nearest_center(address)
    ledger.record("effect", scenario=jobs.ACCOUNT_SETUP, job=jobs.fulfillment(key))
    return JSONResponse({"id": center})


async def _tell_balance(_request: Request, owner: str) -> JSONResponse:
    balance = replies.balance(owner, time.monotonic_ns())
    ledger.record("effect", scenario=jobs.ACCOUNT_SYNC, job=jobs.sync(owner))
    return JSONResponse({"owner": owner, "balance": balance})


def _key(request: Request) -> str:
    return request.headers.get("idempotency-key", "")


def _checked_key(key: str) -> None:
    if not key:
        raise Refusal("the Idempotency-Key header is missing")


async def _json(request: Request) -> Any:
    try:
        return await request.json()
    except (JSONDecodeError, UnicodeDecodeError) as error:
        raise Refusal(f"not JSON: {error}") from error


def _check_contact(contact: Any) -> None:
    if not isinstance(contact, dict) or not contact.get("name"):
        raise Refusal("name can't be blank")
    try:
        date.fromisoformat(str(contact.get("birthday")))
    except ValueError as error:
        raise Refusal("birthday must be a date such as 1990-05-17") from error


def _failure(fault: ServiceFault) -> JSONResponse:
    status = fault.status or DEFAULT_STATUS
    return JSONResponse({"error": "told to fail"}, status_code=status)
