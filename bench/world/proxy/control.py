r"""The proxy's HTTP interface, small enough to need no library; all bodies are JSON.

| request               | what happens                                         | answer              |
|-----------------------|------------------------------------------------------|---------------------|
| GET /                 |                                                      | 200 the state       |
| POST /toxics {…}      | adds a toxic: type, attributes, stream, toxicity, name | 200 the state, 422 |
| DELETE /toxics/{name} | removes it                                           | 200 the state, 422  |
| POST /clear           | removes all toxics                                   | 200 the state       |
| POST /down, POST /up  | refuses connections, takes them again                | 200 the state       |
| POST /half_open       | the present connections go dead                      | 200 the state       |
| POST /reset           | the present connections end with an RST              | 200 the state       |

Anything else is 404; what is no HTTP is answered with 400.

    curl -d '{"type": "latency", "attributes": {"latency": 50}}' http://127.0.0.1:8474/toxics
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from bench.world.proxy.server import HOST, Proxy
from bench.world.proxy.toxics import Toxic, ToxicError

#: Bytes of the longest body that is read.
MAX_BODY = 65_536
#: Seconds that a request may take to arrive.
REQUEST_S = 5.0

Answer = tuple[HTTPStatus, dict[str, Any]]


async def serve_control(proxy: Proxy, port: int = 0) -> asyncio.Server:
    """Serve the interface on 127.0.0.1; raise OSError where the port is in use."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_S):
                status, body = await _answer(proxy, reader)
        except (ValueError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            status, body = HTTPStatus.BAD_REQUEST, {"error": str(error) or "no whole request"}
        text = json.dumps(body).encode()
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {len(text)}\r\nConnection: close\r\n\r\n".encode() + text)
        writer.close()

    return await asyncio.start_server(serve, HOST, port)


async def _answer(proxy: Proxy, reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = int(headers.get("content-length") or 0)
    if not 0 <= length <= MAX_BODY:
        raise ValueError(f"the body has {length} bytes: at most {MAX_BODY} are read")
    body = await reader.readexactly(length)
    try:
        return await _do(proxy, method, path, body)
    except ToxicError as error:
        return HTTPStatus.UNPROCESSABLE_ENTITY, {"error": str(error)}


async def _do(proxy: Proxy, method: str, path: str, body: bytes) -> Answer:
    whole: dict[str, Callable[[], object]] = {
        "/clear": proxy.clear,
        "/down": proxy.down,
        "/up": proxy.up,
        "/half_open": proxy.half_open,
        "/reset": proxy.reset,
    }
    if method == "POST" and path == "/toxics":
        proxy.add(Toxic.from_json(_json(body)))
    elif method == "DELETE" and path.startswith("/toxics/"):
        proxy.remove(path.removeprefix("/toxics/"))
    elif method == "POST" and path in whole:
        done = whole[path]()
        if isinstance(done, Awaitable):
            await done
    elif (method, path) != ("GET", "/"):
        return HTTPStatus.NOT_FOUND, {"error": f"{method} {path}: see bench.world.proxy.control"}
    return HTTPStatus.OK, proxy.state()


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        raise ToxicError(f"not JSON: {error}") from error
