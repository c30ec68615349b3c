"""Acknowledgements that are sent at once, without waiting for an answer.

1. A job has ended: its HDEL goes into the socket before `send` returns, so a kill of the worker from here
   on takes nothing back; the kernel still delivers it.
2. The broker is told not to answer on this connection, so nobody ever reads from it. Where its user may not
   say so (CLIENT REPLY), each answer is waited for.
3. What the broker did not get, because it died or was unreachable, is not known here: the holder tells it
   all again, in one command a moment later, and waits for that answer (`holder.confirm`).
"""

from __future__ import annotations

import threading
from typing import Any

import redis

from celery_impl.sidekiq.lease.pipelined_commands import packed
from celery_impl.sidekiq.redis.older_versions import take_connection


class FireAndForgetAcks:
    """One connection of `pool` for acknowledgements; any thread may send."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._lock = threading.Lock()
        self._connection: Any = None
        self._answers = False

    def connect(self) -> None:
        """Connect where there is no connection; raise redis-py's errors."""
        if self._connection is None:
            connection = take_connection(self._pool)
            try:
                self._answers = _answers(connection)
            except BaseException:
                connection.disconnect()
                self._pool.release(connection)
                raise
            self._connection = connection

    def send(self, key: str, *numbers: int) -> None:
        """Remove these fields from the hash; an error is left to `Holder.confirm`."""
        command = [packed([("HDEL", key, *numbers)])]
        with self._lock:
            connection = self._connection
            if connection is None:
                return
            try:
                connection.send_packed_command(command, check_health=False)
                if self._answers:
                    connection.read_response()
            except (redis.RedisError, OSError):
                self._drop()

    def close(self) -> None:
        """Let go of the connection."""
        with self._lock:
            if self._connection is not None:
                self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        connection.disconnect()
        self._pool.release(connection)


def _answers(connection: Any) -> bool:
    """Have the broker not answer on this connection; return whether it does all the same."""
    connection.send_command("CLIENT", "REPLY", "ON", check_health=False)
    try:
        connection.read_response()
    except redis.ResponseError:
        return True
    connection.send_command("CLIENT", "REPLY", "OFF", check_health=False)
    return False
