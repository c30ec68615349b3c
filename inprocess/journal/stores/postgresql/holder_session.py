"""The session of a process that runs jobs: how others see that it lives, and how they wake it.

1. A thread owns a connection of its own. It holds an advisory lock for each holder of this process, which
   the server frees as soon as the connection of a killed process closes. It is taken before the holder's row
   is committed, so that nobody sees the row without the lock.
2. Each RENEW_S the thread moves on `until` in the holder's row, by the server's clock, whatever the event
   loop does: LEASE without that, and others take the process for dead, though its lock is held, as by a
   machine that the network has lost.
3. It listens for the journal's channel. A connection that was lost is made again at once, and takes its locks
   anew; then there may be work that nobody told of.
4. Behind a pooler that gives each transaction any session, a lock outlives its process and no notification
   comes. `start` finds that out; then there is the lease alone, and the runner's poll.

Any thread may call its methods.
"""

from __future__ import annotations

import os
import queue
import selectors
import socket
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Final

import psycopg

from inprocess.journal.model.errors import JournalError, JournalUnavailableError
from inprocess.journal.stores.postgresql import statements as sql
from inprocess.journal.stores.postgresql.schema import Connection, placed
from inprocess.journal.stores.postgresql.server import Address, connect, meaning
from inprocess.supervision.core.log import log

#: Seconds between two renewals of the lease, and between two tries to take back a lock.
RENEW_S: Final = 1.0
#: Seconds between two tries to connect, or to take back a lock.
AGAIN_S: Final = 0.25
#: Seconds in which a notification must come back, or the connection is not the server's own.
PROBE_S: Final = 4.0
#: Seconds that a caller waits for the thread.
PATIENCE_S: Final = 15.0


class HolderSession:
    """See the module. `wake` is called on its thread when others may have changed rows."""

    def __init__(
        self, address: Address, schema: str, *, channel: str, lock_class: int, wake: Callable[[], object]
    ) -> None:
        self._address = address
        self._schema = schema
        self._channel = channel
        self._lock_class = lock_class
        self._wake = wake
        #: Holders of this process; whether each has its lock on this connection.
        self._holders: dict[int, bool] = {}
        self._commands: queue.SimpleQueue[tuple[Callable[[Connection], Any], Future[Any]]] = (
            queue.SimpleQueue()
        )
        self._here, self._there = socket.socketpair()
        self._here.setblocking(False)
        self._is_closing = False
        self._renewed_at = 0.0
        self._probed = threading.Event()
        #: When the server of this connection was started: what tells it from a server after a failover. None
        #: where locks mean nothing, see 4.
        self.server: str | None = None
        #: Held while the thread is in the library of the database, see `Writer.in_store`.
        self.in_use = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="journal-session", daemon=True)
        _sessions.add(self)

    def start(self, notify: Callable[[str, str], object]) -> None:
        """Connect, listen, and see whether a notification comes. `notify` sends one by another connection.

        Raise JournalError.
        """
        self._thread.start()
        try:
            self._ask(lambda connection: connection.execute(b"select 1").fetchall())
            notify(self._channel, sql.PROBE)
        except BaseException:
            self.close()
            raise
        if not self._probed.wait(PROBE_S):
            log.warning(
                "the journal %s: its connection is not the server's own, as behind a pooler in transaction "
                "mode: jobs of other processes are looked for each second, and those of a dead process run "
                "elsewhere after about 5 s; give it the server itself, or a pool in session mode",
                self._address.url,
            )
            return
        self._ask(self._trust)

    @property
    def holders(self) -> list[int]:
        """The holders of this process."""
        return list(self._holders)

    def take(self, holder: int) -> None:
        """Lock a new holder, whose row is not there yet. Raise JournalError."""
        self._ask(lambda connection: self._take(connection, holder))

    def release(self, holder: int) -> None:
        """Free a holder whose row is gone, or was never written."""
        self._tell(lambda connection: self._free(connection, holder))

    def forsake(self, holder: int) -> Future[Any]:
        """Let a holder of this process count as dead, and nobody to blame, though the process lives."""
        return self._tell(lambda connection: self._forsake(connection, holder))

    def renew(self) -> None:
        """Move on the leases now. Raise JournalError."""
        self._ask(self._renew)

    def close(self) -> None:
        """End the thread, once what it was told is done; its locks go with its connection."""
        self._is_closing = True
        self._ring()
        self._thread.join(PATIENCE_S)

    # The thread.

    def _run(self) -> None:
        connection: Connection | None = None
        try:
            while not self._is_closing or (connection is not None and not self._commands.empty()):
                try:
                    if connection is None:
                        with self.in_use:
                            connection = self._open()
                        self._wake()
                    self._serve(connection)
                except (JournalError, psycopg.Error) as error:
                    self._lost(connection, error)
                    connection = None
                    self._pause()
        finally:
            with self.in_use:
                if connection is not None:
                    connection.close()
                self._fail_all(JournalUnavailableError(f"the journal {self._address.url} is closed"))
                self._here.close()
                self._there.close()

    def _open(self) -> Connection:
        connection = connect(self._address, prepares=False)
        try:
            connection.execute(f'listen "{self._channel}"'.encode())
            if (
                self.server is not None
            ):  # it was lost: whoever looks meanwhile must see which server it is on now
                self._trust(connection)
                self._take_back(connection)
            self._renewed_at = 0.0
        except BaseException:
            connection.close()
            raise
        return connection

    def _trust(self, connection: Connection) -> None:
        """Rely on locks: the connection is the server's own."""
        connection.execute(b"set synchronous_commit = off")  # a lease need not outlive a crash of the server
        ((self.server,),) = connection.execute(b"select pg_postmaster_start_time()::text").fetchall()

    def _serve(self, connection: Connection) -> None:
        """Do what it is told, listen and renew, until it ends or the connection is lost."""
        with selectors.DefaultSelector() as selector:
            selector.register(connection.fileno(), selectors.EVENT_READ)
            selector.register(self._here, selectors.EVENT_READ)
            while not self._is_closing or not self._commands.empty():
                with self.in_use:
                    is_woken = self._work(connection)
                if is_woken:
                    self._wake()
                has_all = all(self._holders.values()) or self.server is None
                selector.select(RENEW_S if has_all else AGAIN_S)
                with suppress(BlockingIOError):
                    self._here.recv(4096)

    def _work(self, connection: Connection) -> bool:
        """Do what is to be done now; return whether a notification has come."""
        while not self._commands.empty():
            command, answer = self._commands.get()
            try:
                result = command(connection)
            except psycopg.Error as error:
                answer.set_exception(meaning(error, self._address.url))
                if connection.closed:
                    raise
            else:
                answer.set_result(result)
        self._take_back(connection)
        if self._holders and time.monotonic() - self._renewed_at >= RENEW_S * 0.9:
            self._renew(connection)
        is_woken = False
        for notification in connection.notifies(timeout=0):
            if notification.payload == sql.PROBE:
                self._probed.set()
            else:
                is_woken = True
        return is_woken

    def _take(self, connection: Connection, holder: int) -> None:
        self._holders[holder] = False
        if self.server is not None:
            connection.execute(b"select pg_advisory_lock(%s, %s)", (self._lock_class, holder % sql.LOCKS))
            self._holders[holder] = True

    def _take_back(self, connection: Connection) -> None:
        """Take the locks that went with an earlier connection, unless the server keeps that one still."""
        if self.server is None:
            return
        for holder in [holder for holder, is_locked in self._holders.items() if not is_locked]:
            statement = b"select pg_try_advisory_lock(%s, %s)"
            found = connection.execute(statement, (self._lock_class, holder % sql.LOCKS)).fetchall()
            self._holders[holder] = found == [(True,)]
            self._renewed_at = 0.0

    def _renew(self, connection: Connection) -> None:
        self._renewed_at = time.monotonic()
        connection.execute(placed(sql.RENEWED, self._schema), (self.server, self.holders))

    def _free(self, connection: Connection, holder: int) -> None:
        if self._holders.pop(holder, False):
            connection.execute(b"select pg_advisory_unlock(%s, %s)", (self._lock_class, holder % sql.LOCKS))

    def _forsake(self, connection: Connection, holder: int) -> None:
        is_locked = self._holders.pop(holder, False)
        connection.execute(placed(sql.FORSAKEN, self._schema), (holder,))
        if is_locked:
            connection.execute(b"select pg_advisory_unlock(%s, %s)", (self._lock_class, holder % sql.LOCKS))

    def _lost(self, connection: Connection | None, error: JournalError | psycopg.Error) -> None:
        with self.in_use:
            if connection is not None:
                connection.close()
            self._holders = dict.fromkeys(self._holders, False)
            reason = meaning(error, self._address.url) if isinstance(error, psycopg.Error) else error
            self._fail_all(reason)

    def _fail_all(self, error: JournalError) -> None:
        while not self._commands.empty():
            self._commands.get()[1].set_exception(error)

    def _pause(self) -> None:
        deadline = time.monotonic() + AGAIN_S
        while not self._is_closing and self._commands.empty() and time.monotonic() < deadline:
            time.sleep(AGAIN_S / 10)

    # For callers.

    def _ask(self, command: Callable[[Connection], Any]) -> Any:
        answer = self._tell(command)
        try:
            return answer.result(PATIENCE_S)
        except TimeoutError:
            raise JournalUnavailableError(f"the journal {self._address.url} does not answer") from None

    def _tell(self, command: Callable[[Connection], Any]) -> Future[Any]:
        answer: Future[Any] = Future()
        if self._is_closing:
            answer.set_exception(JournalUnavailableError(f"the journal {self._address.url} is closed"))
        else:
            self._commands.put((command, answer))
            self._ring()
        return answer

    def _ring(self) -> None:
        with suppress(OSError):  # it has ended
            self._there.send(b".")


# A fork must not find the library of the database locked by a thread that it has not.

_sessions: weakref.WeakSet[HolderSession] = weakref.WeakSet()
_held: list[threading.Lock] = []


def _before_fork() -> None:
    for session in list(_sessions):
        session.in_use.acquire()
        _held.append(session.in_use)


def _after_fork_here() -> None:
    while _held:
        _held.pop().release()


def _after_fork_there() -> None:
    _held.clear()
    _inherited.extend(_sessions)  # so that nothing of them is closed here
    _sessions.clear()


_inherited: list[HolderSession] = []
os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_here, after_in_child=_after_fork_there)
