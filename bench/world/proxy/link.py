"""One connection through the proxy: two sockets and a pipe each way, and what may end it.

A pipe has two tasks: one reads and stamps each piece with the moment at which it may go on, the
other writes it then. So a latency delays without slowing down: pieces are under way together.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from bench.world.proxy.toxics import Stream, Toxic

#: Bytes read at a time.
PIECE_BYTES = 65_536
#: Pieces that may be under way in one pipe; more are not read from the socket.
PIECES = 256
#: SO_LINGER with a time of zero: closing sends an RST.
_RST = struct.pack("ii", 1, 0)

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
Piece = tuple[float, bytes]


class Closed(Exception):  # noqa: N818 - an end that was asked for, no failure
    """A toxic ends the connection."""


class Link:
    """A client's connection and the one to the server, for as long as either lives."""

    def __init__(
        self, client: Writer, server: Writer, toxics: Callable[[], Iterable[Toxic]], seed: str
    ) -> None:
        self._ends = (client, server)
        self._toxics = toxics
        self._random = random.Random(seed)  # noqa: S311 - a network's whims are no secret
        self._drawn: dict[str, bool] = {}
        self._began = asyncio.get_running_loop().time()
        self.is_dead = False

    async def run(self, client: Reader, server: Reader) -> None:
        """Pass bytes on in both directions until both have ended or a toxic ends the link."""
        up, down = self._ends[1], self._ends[0]
        pipes = (
            self._pipe("upstream", client, up),
            self._pipe("downstream", server, down),
            self._timers(),
        )
        try:
            async with asyncio.TaskGroup() as group:
                *both, timers = [group.create_task(pipe) for pipe in pipes]
                await asyncio.wait(both)
                timers.cancel()
        except* (Closed, OSError):
            pass
        finally:
            if self.is_dead:
                await self._stay_dead()
            for end in self._ends:
                end.close()

    def half_open(self) -> None:
        """Swallow everything from now on and close nothing: neither end learns that the other is gone."""
        self.is_dead = True

    def reset(self) -> None:
        """End both connections with an RST."""
        self.is_dead = False
        for end in self._ends:
            made: socket.socket = end.get_extra_info("socket")
            with suppress(OSError):
                made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
            end.transport.abort()

    async def _stay_dead(self) -> None:
        while self.is_dead:  # noqa: ASYNC110 - ends with `reset` or with the proxy
            await asyncio.sleep(0.05)

    async def _pipe(self, stream: Stream, reader: Reader, writer: Writer) -> None:
        pieces: asyncio.Queue[Piece | None] = asyncio.Queue(PIECES)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read(stream, reader, pieces))
            group.create_task(self._write(stream, writer, pieces))

    async def _read(self, stream: Stream, reader: Reader, pieces: asyncio.Queue[Piece | None]) -> None:
        loop, last, passed = asyncio.get_running_loop(), 0.0, 0
        while data := await reader.read(PIECE_BYTES):
            if self.is_dead or self._active("timeout", stream):
                continue
            if any(not toxic.attributes["timeout"] for toxic in self._active("reset_peer", stream)):
                self.reset()
                raise Closed
            limits = [int(toxic.attributes["bytes"]) for toxic in self._active("limit_data", stream)]
            left = min(limits, default=len(data) + passed) - passed
            passed += min(len(data), max(0, left))
            last = max(last, loop.time() + self._delay_s(stream))
            await pieces.put((last, data[: max(0, left)]))
            if left < len(data) or (limits and left == len(data)):
                break
        else:
            await pieces.put(None)
            return
        await pieces.put((last, b""))  # an empty piece is the cut

    async def _write(self, stream: Stream, writer: Writer, pieces: asyncio.Queue[Piece | None]) -> None:
        loop = asyncio.get_running_loop()
        while (piece := await pieces.get()) is not None:
            due, data = piece
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not data:
                raise Closed
            for part, pause_s in self._parts(stream, data):
                if self.is_dead:
                    break
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(pause_s)
        if not self.is_dead and writer.can_write_eof():
            writer.write_eof()

    def _parts(self, stream: Stream, data: bytes) -> Iterator[tuple[bytes, float]]:
        """What is written, and how many seconds are waited after each part."""
        rates = [toxic.attributes["rate"] * 1000 for toxic in self._active("bandwidth", stream)]
        rate = min(rates, default=0.0)
        slicers = self._active("slicer", stream)
        size = min((max(1, int(s.attributes["average_size"])) for s in slicers), default=len(data))
        if rate:
            size = min(size, max(1, int(rate / 20)))  # twenty parts a second: no long silence, no burst
        delay_s = sum(slicer.attributes["delay"] for slicer in slicers) / 1000
        for at in range(0, len(data), size):
            part = data[at : at + size]
            yield part, delay_s + (len(part) / rate if rate else 0.0)

    def _delay_s(self, stream: Stream) -> float:
        toxics = self._active("latency", stream)
        return max(0.0, sum(t.attributes["latency"] + self._jitter(t) for t in toxics) / 1000)

    def _jitter(self, toxic: Toxic) -> float:
        return self._random.uniform(-1, 1) * toxic.attributes["jitter"]

    async def _timers(self) -> None:
        """End the link once a toxic with a time has had it, also where no byte moves."""
        loop, since = asyncio.get_running_loop(), dict[str, float]()
        while True:
            for toxic in self._toxics():
                limit_s = toxic.attributes.get("timeout", 0) / 1000
                if not limit_s or not self._is_hit(toxic):
                    continue
                if loop.time() >= since.setdefault(toxic.name, loop.time()) + limit_s:
                    if toxic.type == "reset_peer":
                        self.reset()
                    raise Closed
            await asyncio.sleep(0.01)

    def _active(self, kind: str, stream: Stream) -> list[Toxic]:
        return [t for t in self._toxics() if t.type == kind and t.hits(stream) and self._is_hit(t)]

    def _is_hit(self, toxic: Toxic) -> bool:
        """Drawn once for each connection and toxic."""
        if toxic.name not in self._drawn:
            self._drawn[toxic.name] = self._random.random() < toxic.toxicity
        return self._drawn[toxic.name]
