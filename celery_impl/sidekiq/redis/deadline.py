"""How long the broker may keep a caller waiting: one bound for all that an enqueue asks of it.

A time-out of a socket bounds one read. An enqueue over a new connection makes several: it connects, shakes
hands, declares the queue, sends. `within` bounds them together, in the thread that entered it: whatever a
connection (`Bounded`) does inside ends when the time is over, by redis-py's TimeoutError.

What it does not bound: the look-up of a host's name, connections over a Unix socket (`socket_timeout` counts
there) and those of a result backend. Celery subscribes to a result before it sends the job. Where the
results are in the broker, that is asked before (`sending`); where they are in another Redis, which is silent,
set `redis_socket_timeout`, which is 120 s, or `ignore_result`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final

import redis

#: Seconds that an enqueue may take, unless `Sidekiq(app, enqueue_within_s=…)` says otherwise.
WITHIN_S: Final = 1.0

_here: Final = threading.local()


class within:  # noqa: N801 - read as a function; a generator would cost a microsecond for each job
    """Bound what this thread asks of the broker inside; inside another bound, the earlier end counts.

    With `alone` a connection's own `socket_timeout`, which is for callers, does not count.
    """

    __slots__ = ("_alone", "_before", "_seconds")

    def __init__(self, seconds: float, *, alone: bool = False) -> None:
        self._seconds = seconds
        self._alone = alone

    def __enter__(self) -> None:
        before: float | None = getattr(_here, "until", None)
        until = time.monotonic() + self._seconds
        self._before = before
        _here.until = until if before is None or until < before else before
        if self._alone:
            _here.alone = True

    def __exit__(self, *_: object) -> None:
        _here.until = self._before
        if self._alone:
            _here.alone = False


def left_s() -> float | None:
    """Return the seconds that this thread has left, None without a bound; raise TimeoutError at 0."""
    until: float | None = getattr(_here, "until", None)
    if until is None:
        return None
    left = until - time.monotonic()
    if left <= 0:
        raise redis.TimeoutError("the broker did not answer within the time that an enqueue may take")
    return left


class Bounded:
    """What a connection class of redis-py gains by standing before it: it obeys `within`."""

    _sock: Any  # private, pinned by a test
    socket_timeout: float | None
    socket_connect_timeout: float | None

    def _connect(self) -> Any:
        left, own = left_s(), self.socket_connect_timeout
        if left is None:
            return super()._connect()  # type: ignore[misc] # redis-py's, pinned by a test
        self.socket_connect_timeout = _shorter(left, own)
        try:
            return super()._connect()  # type: ignore[misc] # redis-py's, pinned by a test
        finally:
            self.socket_connect_timeout = own

    def send_packed_command(self, *args: Any, **options: Any) -> None:
        """As redis-py's; what does not fit into the kernel's buffers in time is not waited for."""
        left = left_s()
        if left is None or self._sock is None:
            super().send_packed_command(*args, **options)  # type: ignore[misc] # a mixin
            return
        self._bounded(left, super().send_packed_command, *args, **options)  # type: ignore[misc] # a mixin

    def read_response(self, *args: Any, **options: Any) -> Any:
        """As redis-py's; raise its TimeoutError when the time is over."""
        try:
            left = left_s()
        except redis.TimeoutError:
            self.disconnect()  # type: ignore[attr-defined] # the answer would be taken for the next one's
            raise
        if left is None or self._sock is None or "timeout" in options:
            return super().read_response(*args, **options)  # type: ignore[misc] # a mixin
        return self._bounded(left, super().read_response, *args, **options)  # type: ignore[misc] # a mixin

    def _bounded(self, left: float, call: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Call with the socket's time-out at `left` or less: an older redis-py has none for a read."""
        sock = self._sock
        sock.settimeout(_shorter(left, self.socket_timeout))
        try:
            return call(*args, **options)
        finally:
            if self._sock is sock:
                sock.settimeout(self.socket_timeout)


def _shorter(left: float, own: float | None) -> float:
    return left if own is None or getattr(_here, "alone", False) else min(left, own)
