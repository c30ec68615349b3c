"""The proxy itself: takes connections on 127.0.0.1 and links each to the server behind it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any, Self

from bench.world.proxy.link import Link, Reader, Writer
from bench.world.proxy.toxics import Toxic, ToxicError

HOST = "127.0.0.1"
#: Connections that wait to be accepted.
BACKLOG = 1024


class Proxy:
    """One listening port in front of one server; see the package for an example. One loop only."""

    def __init__(self, upstream: tuple[str, int], *, port: int = 0, seed: int = 0) -> None:
        self.upstream = upstream
        self.port = port
        self.accepted = 0
        self._seed = seed
        self._toxics: dict[str, Toxic] = {}
        self._links: dict[Link, asyncio.Task[None] | None] = {}
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.up()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def address(self) -> tuple[str, int]:
        """What clients connect to; the port is known once it is up, and stays."""
        return HOST, self.port

    @property
    def connections(self) -> int:
        """Connections that are open now, dead ones included."""
        return len(self._links)

    async def up(self) -> None:
        """Take connections; raise OSError where the port is in use. Twice is the same as once."""
        if self._server is not None:
            return
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind((HOST, self.port))
            made.listen(BACKLOG)
        except BaseException:
            made.close()
            raise
        made.setblocking(False)
        self.port = int(made.getsockname()[1])
        self._server = await asyncio.start_server(self._serve, sock=made)

    async def down(self) -> None:
        """Refuse connections, and end those that there are with an RST, as the end of a process does."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.reset()

    async def stop(self) -> None:
        """Go down for good and wait until every connection is closed."""
        await self.down()
        tasks = [task for task in self._links.values() if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def add(self, toxic: Toxic) -> None:
        """Let something go wrong from now on; raise ToxicError where one of that name is there."""
        if toxic.name in self._toxics:
            raise ToxicError(f"there is a toxic called {toxic.name!r}: remove it first, or choose a name")
        self._toxics[toxic.name] = toxic

    def remove(self, name: str) -> None:
        """Take a toxic away; raise ToxicError where there is none of that name."""
        if name not in self._toxics:
            known = ", ".join(self._toxics) or "none"
            raise ToxicError(f"no toxic is called {name!r}: there are {known}")
        del self._toxics[name]

    def clear(self) -> None:
        """Take all toxics away."""
        self._toxics.clear()

    def half_open(self) -> int:
        """Let the connections that there are go dead: nothing passes, nothing is closed. Return how many."""
        for link in self._links:
            link.half_open()
        return len(self._links)

    def reset(self) -> int:
        """End the connections that there are with an RST, mid-stream. Return how many."""
        for link in list(self._links):
            link.reset()
        return len(self._links)

    def state(self) -> dict[str, Any]:
        """What there is now, as a JSON object."""
        return {
            "listen": f"{HOST}:{self.port}",
            "upstream": f"{self.upstream[0]}:{self.upstream[1]}",
            "enabled": self._server is not None,
            "connections": self.connections,
            "accepted": self.accepted,
            "toxics": [toxic.to_json() for toxic in self._toxics.values()],
        }

    async def _serve(self, reader: Reader, writer: Writer) -> None:
        self.accepted += 1
        number = self.accepted
        try:
            server_reader, server_writer = await asyncio.open_connection(*self.upstream)
        except OSError:
            writer.close()  # the server behind is away: its client is told as soon as we know
            return
        link = Link(writer, server_writer, self._toxics.values, f"{self._seed}/{number}")
        self._links[link] = asyncio.current_task()
        try:
            with contextlib.suppress(asyncio.CancelledError):  # `stop`: there is nothing left to tell
                await link.run(reader, server_reader)
        finally:
            del self._links[link]
            for end in (writer, server_writer):
                end.transport.abort()
