"""A JSON server over HTTP/1.1 that needs the standard library alone, for requests of the harness.

It runs in the interpreter of the user's app, where no web framework need be installed. A request has a
Content-Length; connections stay open.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

from bench.atomic_write import write_json
from bench.process.signals import stop_on_signals

HOST = "127.0.0.1"
#: Connections that may wait to be accepted.
BACKLOG = 2048
#: Seconds that running requests may take after SIGTERM.
REQUEST_GRACE_S = 5.0


class Response(NamedTuple):
    """An HTTP status and a body that JSON can represent."""

    status: HTTPStatus
    body: Any


#: Answers a request from its JSON body, None for an empty one.
Handler = Callable[[Any], Awaitable[Response]]


class JsonServer:
    """Serves handlers by method and path, such as ("POST", "/tasks"), from `start` until `stop`."""

    def __init__(self, routes: Mapping[tuple[str, str], Handler]) -> None:
        self._routes = routes
        self._connections: set[asyncio.Task[None]] = set()
        self._running: set[asyncio.Future[Response]] = set()

    async def start(self, port: int) -> int:
        """Listen on the port, or on a free one for 0, and return it; raise OSError where it is in use."""
        self._server = await asyncio.start_server(self._serve, HOST, port, backlog=BACKLOG)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Accept no connection, let running requests end within the grace, then close every connection."""
        self._server.close()
        if self._running:
            await asyncio.wait(self._running, timeout=REQUEST_GRACE_S)
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - asyncio runs this as a task
        self._connections.add(task)
        try:
            while True:
                method, path, body = await _read_request(reader)
                response = await self._respond(method, path, body)
                text = json.dumps(response.body).encode()
                head = f"HTTP/1.1 {response.status.value} {response.status.phrase}\r\n"
                head += f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
                writer.write(head.encode() + text)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has closed the connection
        finally:
            self._connections.discard(task)
            writer.close()

    async def _respond(self, method: str, path: str, body: bytes) -> Response:
        handler = self._routes.get((method, path))
        if handler is None:
            return Response(HTTPStatus.NOT_FOUND, {"error": f"no endpoint {method} {path}"})
        try:
            value = json.loads(body) if body else None
        except ValueError as error:
            return Response(HTTPStatus.UNPROCESSABLE_ENTITY, {"error": f"not JSON: {error}"})
        handling = asyncio.ensure_future(self._handled(handler, value))
        self._running.add(handling)
        handling.add_done_callback(self._running.discard)
        return await handling

    async def _handled(self, handler: Handler, value: Any) -> Response:
        try:
            return await handler(value)
        except Exception as error:  # noqa: BLE001 - the user's code may raise anything
            return Response(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": f"{type(error).__name__}: {error}"})


async def _read_request(reader: asyncio.StreamReader) -> tuple[str, str, bytes]:
    """The method, path and body of the next request."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return method, path, await reader.readexactly(int(headers.get("content-length") or 0))


async def serve(server: JsonServer, port: int, folder: Path) -> None:
    """Serve until SIGTERM or SIGINT, then stop; `app.json` (url, pid) appears in the folder at the start.

    Raise OSError where the port is in use.
    """
    signalled = stop_on_signals()
    bound = await server.start(port)
    write_json(folder / "app.json", {"url": f"http://{HOST}:{bound}", "pid": os.getpid()})
    await signalled.wait()
    await server.stop()
