"""A process that renews a worker's leases beside the worker's own thread, for pools without child processes.

A job that holds the interpreter's lock (a regular expression, a C extension) stops every thread of its
process, the one that renews included; with the pools solo, threads, gevent and eventlet that is the worker's
process. Its lease would end, and every worker in turn would take the job and stand still.

1. The worker starts this file as a program, and tells it by its standard input how to connect and, whenever
   that changes, whose leases to renew.
2. It renews them as often as the thread does, whatever becomes of the threads of the worker.
3. It ends when the worker does: its input ends, or it has another parent. It ignores the signals that a
   terminal or a supervisor sends to all processes of a service, since the worker may have jobs to finish.

It imports the standard library and redis-py alone, so that it is small: nothing else of this package.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
import select
import signal
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any, Final

#: Seconds that the process has to end once its input has.
END_S: Final = 2.0
#: Bytes of its input that it reads at a time.
READ: Final = 65536
#: Signals that are meant for the worker.
IGNORED: Final = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT")

logger = logging.getLogger(__name__)


class RenewalProcess:
    """The process, as the worker sees it.

    `connection` are the class and the options of redis-py's connection, `script` the Lua script that renews,
    `key` and `head` its key and the arguments before the holders. Raise OSError where no process can be
    started, and what pickle raises where an option cannot be handed over.
    """

    def __init__(
        self,
        connection: tuple[type, Mapping[str, Any]],
        *,
        script: str,
        key: str,
        head: tuple[object, ...],
        every_s: float,
    ) -> None:
        self._told: list[str] = []
        kind, options = connection
        work = b64encode(pickle.dumps((os.getpid(), kind, dict(options), script, key, head, every_s)))
        self._process = subprocess.Popen([sys.executable, "-P", __file__], stdin=subprocess.PIPE)
        self._write(json.dumps(sys.path).encode() + b"\n" + work + b"\n")

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether it has ended, which it should not do before the worker."""
        return self._process.poll() is not None

    def tell(self, holders: Collection[str]) -> None:
        """Say whose leases to renew from now on."""
        if (names := sorted(holders)) != self._told:
            self._told = names
            self._write(json.dumps(names).encode() + b"\n")

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None  # noqa: S101 - a pipe, see above
        with suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _write(self, data: bytes) -> None:
        assert self._process.stdin is not None  # noqa: S101 - a pipe, see above
        with suppress(BrokenPipeError):  # it has ended, which the next look finds
            self._process.stdin.write(data)
            self._process.stdin.flush()


def _main() -> None:
    for name in IGNORED:
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    text = b""  # not through sys.stdin, of whose buffer `select` knows nothing
    while text.count(b"\n") < 2:  # noqa: PLR2004 - the lines of __init__
        if not (data := os.read(0, READ)):
            return
        text += data
    path, work, text = text.split(b"\n", 2)
    sys.path[:] = json.loads(path)
    parent, kind, options, script, key, head, every_s = pickle.loads(b64decode(work))  # noqa: S301 - the parent's
    import redis  # late: from where the worker has it

    client = redis.Redis(connection_pool=redis.ConnectionPool(connection_class=kind, **options))
    renew = client.register_script(script)
    holders: list[str] = []
    while os.getppid() == parent:
        *lines, text = text.split(b"\n")
        holders = json.loads(lines[-1]) if lines else holders
        if holders:
            with suppress(redis.RedisError, OSError):  # the next turn is the retry
                renew(keys=[key], args=[*head, *holders])
        if select.select([0], [], [], every_s)[0]:
            if not (data := os.read(0, READ)):
                return
            text += data


if __name__ == "__main__":
    _main()
