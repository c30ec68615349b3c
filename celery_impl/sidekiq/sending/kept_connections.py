"""Connections to the broker that stay open between two jobs: a packet and its answer cost four system calls.

redis-py's pool takes a lock, looks into each connection by a selector and reads answers by a parser: half of
what an enqueue of one job costs. Here a connection of redis-py's, connected and authenticated by it, lies on
a stack. Before a packet is sent, the socket is looked into: one that the broker has closed meanwhile is
replaced, and nothing was sent. A caller waits for its answer in `select.poll`, no longer than it may.

Only answers of one line are read: numbers, and errors, which are explained as `redis.refusals` does.
"""

from __future__ import annotations

import select
import socket
from contextlib import suppress
from time import monotonic
from typing import Any, Final

import redis

from celery_impl.sidekiq.redis.deadline import within
from celery_impl.sidekiq.redis.older_versions import take_connection
from celery_impl.sidekiq.redis.refusals import explained

#: Bytes that one read asks for.
READ: Final = 4096
#: What a wait says that was in vain.
TOO_LATE: Final = "the broker did not answer within the time that an enqueue may take"
_LOOK: Final = socket.MSG_PEEK | getattr(socket, "MSG_DONTWAIT", 0)


class KeptConnections:
    """A stack of open connections of `pool`; any thread may use it, and a forked child must not."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._idle: list[_Line] = []
        self._is_closed = False

    def call(self, packet: bytes, answers: int, within_s: float) -> None:
        """Send a packet of commands and read so many answers.

        Raise redis-py's ConnectionError, TimeoutError, or ResponseError for the first command that failed.
        """
        until = monotonic() + within_s
        line = self._open_line(within_s)
        if line.socket_timeout is not None:
            until = min(until, monotonic() + line.socket_timeout)
        try:
            said = line.call(packet, answers, until)
        except BaseException:
            line.close()  # an answer that nobody reads would be taken for the next one's
            raise
        self._idle.append(line)
        if self._is_closed:
            self.close()
        if said[:1] == b"-" or b"\n-" in said:
            raise _error(said)

    def close(self) -> None:
        """Close those that nobody uses now, and others when they are not used any more."""
        self._is_closed = True
        with suppress(IndexError):  # another thread takes the last one
            while self._idle:
                self._idle.pop().close()

    def _open_line(self, within_s: float) -> _Line:
        while self._idle:
            try:
                line = self._idle.pop()
            except IndexError:  # another thread has taken it
                break
            if line.is_open():
                return line
            line.close()
        with within(within_s):
            return _Line(self._pool)


class _Line:
    """One connection."""

    __slots__ = ("_connection", "_pool", "_readable", "_socket", "_writable", "socket_timeout")

    def __init__(self, pool: Any) -> None:
        connection = take_connection(pool)
        try:
            found: socket.socket = connection._sock  # noqa: SLF001 - private, pinned by a test
            found.setblocking(False)
            self._readable, self._writable = select.poll(), select.poll()
            self._readable.register(found, select.POLLIN)
            self._writable.register(found, select.POLLOUT)
        except BaseException:
            connection.disconnect()
            pool.release(connection)
            raise
        self._pool, self._connection, self._socket = pool, connection, found
        #: Seconds that the app's own options let a caller wait for an answer; None for no bound.
        self.socket_timeout: float | None = connection.socket_timeout

    def is_open(self) -> bool:
        """Whether the broker has neither closed it nor sent anything unasked."""
        try:
            self._socket.recv(1, _LOOK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def call(self, packet: bytes, answers: int, until: float) -> bytes:
        """Send the packet, and return its answers, each a line."""
        link = self._socket
        try:
            left = packet
            while left:
                try:
                    left = left[link.send(left) :]
                except BlockingIOError:
                    _wait(self._writable, until)
            said = b""
            while said.count(b"\n") < answers:
                _wait(self._readable, until)
                with suppress(BlockingIOError):
                    read = link.recv(READ)
                    if not read:
                        raise redis.ConnectionError("the broker closed the connection")
                    said += read
        except OSError as error:
            raise redis.ConnectionError(f"the connection to the broker broke: {error}") from error
        return said

    def close(self) -> None:
        """Close it, and give its place in the pool back."""
        self._connection.disconnect()
        with suppress(Exception):
            self._pool.release(self._connection)


def _wait(poll: Any, until: float) -> None:
    left_ms = (until - monotonic()) * 1000
    if left_ms <= 0 or not poll.poll(left_ms):
        raise redis.TimeoutError(TOO_LATE)


def _error(said: bytes) -> Exception:
    """Return the first error among the answers."""
    text = next(line[1:] for line in said.split(b"\r\n") if line.startswith(b"-")).decode(errors="replace")
    error = redis.ResponseError(text.removeprefix("ERR "))
    return explained(error) or error


def are_possible(pool: Any) -> bool:
    """Whether connections of this pool are plain sockets, and not those of gevent or TLS."""
    is_plain = socket.socket.__module__ == "socket" and hasattr(select, "poll")
    return is_plain and not issubclass(pool.connection_class, redis.SSLConnection)
