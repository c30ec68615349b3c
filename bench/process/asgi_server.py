"""Real ASGI servers (uvicorn) inside a process that owns its signals: the world's and the app's."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp

from bench.atomic_write import write_json
from bench.process.signals import stop_on_signals

#: Address of every server of a run, except a world that is started with another.
HOST = "127.0.0.1"
#: Seconds that an idle connection is kept: longer than any block, so that no client meets a closed one.
KEEP_ALIVE_S = 3600
#: Seconds that requests under way may take after SIGTERM; what the app's lifespan drains comes on top.
REQUEST_GRACE_S = 5
#: Connections that wait to be accepted.
BACKLOG = 2048


class PortTakenError(RuntimeError):
    """The port that was asked for is in use."""


def listening_socket(port: int = 0, *, host: str = HOST) -> socket.socket:
    """A socket bound to the port, or to a free one for 0; raise PortTakenError where that cannot be."""
    # With no protocol named, asyncio leaves Nagle's algorithm on: 40 ms on every answer in two writes.
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        made.close()
        why = getattr(error, "strerror", None) or error
        raise PortTakenError(f"port {port} on {host} cannot be used: {why}") from error
    made.setblocking(False)
    return made


def port_of(bound: socket.socket) -> int:
    """The port that a socket is bound to."""
    return int(bound.getsockname()[1])


def url_of(bound: socket.socket) -> str:
    """The base URL that a server on this socket answers at."""
    return "http://{}:{}".format(*address_of(bound))


def address_of(bound: socket.socket) -> tuple[str, int]:
    """The address and port that a socket is bound to."""
    address, port = bound.getsockname()[:2]
    return str(address), int(port)


class Server(uvicorn.Server):
    """A uvicorn server that handles no signals, and sets `listening` when it listens."""

    def __init__(self, app: ASGIApp, *, lifespan: bool = False, grace_s: int = 1) -> None:
        config = uvicorn.Config(
            cast("Any", app),  # Starlette and uvicorn spell the same protocol in two ways
            access_log=False,
            log_level="warning",
            lifespan="on" if lifespan else "off",
            ws="none",
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=grace_s,
        )
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take no signal: `stop_on_signals` does, for all servers of the process together."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start as uvicorn does, then say so."""
        await super().startup(sockets=sockets)
        self.listening.set()

    def stop(self) -> None:
        """Finish the requests under way, within the grace, then end."""
        self.should_exit = True


async def serve(app: ASGIApp, port: int, folder: Path) -> None:
    """Serve an app with its lifespan until SIGTERM or SIGINT, then drain; raise PortTakenError.

    `app.json` (url, pid) appears in the folder when it listens.
    """
    bound = listening_socket(port)
    stopping = stop_on_signals()
    server = Server(app, lifespan=True, grace_s=REQUEST_GRACE_S)
    serving = asyncio.create_task(server.serve(sockets=[bound]))
    listening = asyncio.create_task(server.listening.wait())
    await asyncio.wait({serving, listening}, return_when=asyncio.FIRST_COMPLETED)
    if not serving.done():
        write_json(folder / "app.json", {"url": url_of(bound), "pid": os.getpid()})
        stopped = asyncio.create_task(stopping.wait())
        await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
        server.stop()
    await serving
