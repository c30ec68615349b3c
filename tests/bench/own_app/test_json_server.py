"""The host's server: what it answers, and how it drains."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import httpx
import pytest

from bench.own_app.children.json_server import JsonServer, Response


class Handlers:
    """An echo, an error, and a request that waits until it is let go."""

    def __init__(self) -> None:
        self.waiting, self.go = asyncio.Event(), asyncio.Event()

    async def echo(self, body: Any) -> Response:
        return Response(HTTPStatus.ACCEPTED, body)

    async def fail(self, _body: Any) -> Response:
        raise ValueError("no such order")

    async def wait(self, _body: Any) -> Response:
        self.waiting.set()
        await self.go.wait()
        return Response(HTTPStatus.OK, "late")


@asynccontextmanager
async def serving(handlers: Handlers) -> AsyncIterator[tuple[JsonServer, httpx.AsyncClient]]:
    server = JsonServer(
        {("POST", "/echo"): handlers.echo, ("POST", "/fail"): handlers.fail, ("GET", "/wait"): handlers.wait}
    )
    port = await server.start(0)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        yield server, client


def test_each_request_of_a_connection_is_answered_with_its_status_and_body() -> None:
    async def talk() -> list[tuple[int, Any]]:
        async with serving(Handlers()) as (server, client):
            answers = [
                await client.post("/echo", json={"text": "x" * 200_000}),
                await client.post("/echo", content=b"[1"),
                await client.post("/fail", json=[]),
                await client.get("/nowhere"),
            ]
            await server.stop()
            return [(answer.status_code, answer.json()) for answer in answers]

    (echoed, text), (not_json, _), (failed, error), (missing, _) = asyncio.run(talk())
    assert (echoed, text) == (202, {"text": "x" * 200_000})
    assert not_json == 422
    assert (failed, error) == (500, {"error": "ValueError: no such order"})
    assert missing == 404


def test_a_server_that_stops_answers_what_runs_and_takes_nothing_new() -> None:
    async def talk() -> str:
        handlers = Handlers()
        async with serving(handlers) as (server, client):
            late = asyncio.create_task(client.get("/wait"))
            await handlers.waiting.wait()
            stopping = asyncio.create_task(server.stop())
            await asyncio.sleep(0)
            with pytest.raises(httpx.ConnectError):
                await client.get("/wait")
            handlers.go.set()
            answer = (await late).json()
            await stopping
            return str(answer)

    assert asyncio.run(talk()) == "late"


def test_a_port_in_use_is_an_error() -> None:
    async def twice() -> None:
        first = JsonServer({})
        port = await first.start(0)
        try:
            await JsonServer({}).start(port)
        finally:
            await first.stop()

    with pytest.raises(OSError, match="in use"):
        asyncio.run(twice())
