"""A real RabbitMQ behind a door that refuses chosen methods, as one does that has just started.

RabbitMQ takes connections before its virtual host is up and its quorum queues have a leader; until then it
closes the connection with INTERNAL_ERROR, or the channel with NOT_FOUND. Here that lasts for as long as a
test wants.
"""

from __future__ import annotations

import math
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

#: (class, method) of AMQP 0-9-1 by name.
METHODS: Final = {
    "connection.open": (10, 40),
    "basic.consume": (60, 20),
    "basic.deliver": (60, 60),
}
#: What the connection, or only the channel, is closed with: (its class and method, code, text).
INTERNAL_ERROR: Final = ((10, 50), 541, b"INTERNAL_ERROR")
NOT_FOUND: Final = ((20, 40), 404, b"NOT_FOUND - home node of durable queue is down or inaccessible")
_HEADER: Final = struct.Struct(">BHI")
_METHOD_FRAME: Final = 1


class RefusingBroker:
    """Listens on `port` and passes all on, but for what is refused."""

    def __init__(self, server_port: int) -> None:
        #: How often it has refused.
        self.refusals = 0
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._refused = (0, 0)
        self._answer = INTERNAL_ERROR
        self._for_s = self._until = 0.0
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def refuse(self, method: str, *, for_s: float, answer: Any = INTERNAL_ERROR) -> None:
        """End every connection; refuse the method (METHODS) for so long, from the first refusal on."""
        self._refused, self._answer, self._for_s, self._until = METHODS[method], answer, for_s, math.inf
        self.cut()

    def _refuses(self, method: tuple[int, int] | None) -> bool:
        if method != self._refused or time.monotonic() >= self._until:
            return False
        self._until = min(self._until, time.monotonic() + self._for_s)
        self.refusals += 1
        return True

    def close(self) -> None:
        """End every connection and take no more."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """End every connection, as a killed broker does."""
        for each in list(self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):  # the listener is closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client, socket.create_connection(("127.0.0.1", self._server_port)) as server:
            self._open |= {client, server}
            try:
                server.sendall(_exactly(client, 8))  # "AMQP" and the version
                back = threading.Thread(target=self._forward, args=(server, client, client), daemon=True)
                back.start()
                self._forward(client, server, client)
                back.join()
            finally:
                self._open -= {client, server}

    def _forward(self, source: socket.socket, target: socket.socket, client: socket.socket) -> None:
        """Pass frames on until one is refused; what the server says is told before it is refused."""
        with suppress(OSError):
            while head := _exactly(source, _HEADER.size):
                kind, channel, size = _HEADER.unpack(head)
                payload = _exactly(source, size + 1)
                method: Any = struct.unpack_from(">HH", payload) if kind == _METHOD_FRAME else None
                refused = self._refuses(method)
                if source is not client or not refused:
                    target.sendall(head + payload)
                if refused:
                    client.sendall(_close(self._answer, channel, method))
                    if self._answer is INTERNAL_ERROR:
                        break
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@contextmanager
def refusing_broker(server_port: int) -> Iterator[RefusingBroker]:
    """One for a test."""
    broker = RefusingBroker(server_port)
    try:
        yield broker
    finally:
        broker.close()


def _close(answer: Any, channel: int, method: tuple[int, int]) -> bytes:
    """A frame of connection.close or channel.close."""
    kind, code, text = answer
    arguments: bytes = struct.pack(">HHHB", *kind, code, len(text)) + text + struct.pack(">HH", *method)
    where = 0 if answer is INTERNAL_ERROR else channel
    head = _HEADER.pack(_METHOD_FRAME, where, len(arguments))
    return head + arguments + b"\xce"


def _exactly(source: socket.socket, size: int) -> bytes:
    """So many bytes; none where the connection has ended."""
    found = b""
    while len(found) < size and (data := source.recv(size - len(found))):
        found += data
    return found
