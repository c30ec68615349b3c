"""Commands from the parent to a child, over a pair of sockets, each answered by the child's thread.

A message is a name and keyword arguments as JSON, with its length before it; the answer is one byte. No job
goes this way. Each end notices by the end of the stream that the other process is gone.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from struct import Struct
from typing import Any, Final

from kombu.utils.json import dumps, loads

#: Seconds for which the parent waits for the children to take a command.
ANSWER_S: Final = 1.0

_LENGTH: Final = Struct("<I")
_TAKEN: Final = b"\x06"


class Line:
    """The parent's end. `tell` sends, `tell_all` sends to many and waits for their answers."""

    def __init__(self, end: socket.socket) -> None:
        self.socket = end
        end.settimeout(ANSWER_S)

    def tell(self, name: str, arguments: dict[str, Any]) -> bool:
        """Send a command; return whether it went out. A child that does not read loses its line and stops."""
        data = dumps([name, arguments]).encode()
        try:
            self.socket.sendall(_LENGTH.pack(len(data)) + data)
        except OSError:
            self.close()
            return False
        return True

    @property
    def is_open(self) -> bool:
        """Whether the child can still be told."""
        return self.socket.fileno() >= 0

    def close(self) -> None:
        """Close; the child finishes its job and ends."""
        self.socket.close()


def tell_all(lines: Iterable[Line], name: str, arguments: dict[str, Any]) -> None:
    """Send a command to many, and return when all have taken it, within ANSWER_S."""
    until = time.monotonic() + ANSWER_S
    waiting = {line.socket: line for line in lines if line.is_open}
    for end in waiting:  # answers to earlier commands that came too late
        with suppress(OSError):
            while select.select([end], [], [], 0)[0] and end.recv(4096):
                pass
    waiting = {end: line for end, line in waiting.items() if line.tell(name, arguments)}
    while waiting and (left := until - time.monotonic()) > 0:
        for end in select.select(list(waiting), [], [], left)[0]:
            del waiting[end]
            with suppress(OSError):
                end.recv(1)


def serve(end: socket.socket, take: Callable[[str, dict[str, Any]], object]) -> None:
    """Take commands until the parent is gone. The child's thread."""
    with suppress(OSError):
        while head := _exactly(end, _LENGTH.size):
            name, arguments = loads(_exactly(end, *_LENGTH.unpack(head)).decode())
            take(name, arguments)
            end.sendall(_TAKEN)


def _exactly(end: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        part = end.recv(length - len(data))
        if not part:
            return b""
        data += part
    return data
