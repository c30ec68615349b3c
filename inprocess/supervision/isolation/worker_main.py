"""The program of a worker process: makes one call after another for the app, see `worker_process`.

1. It ends with the app, however that ends. It holds the read end of a pipe whose only other end is the
   app's; when that closes, the kernel (Linux) sends SIGKILL to the whole process group, even while C code
   holds the interpreter. On other systems a thread watches the pipe.
2. SIGTERM raises SystemExit in the call, so that its `finally` blocks run.
3. The app's main module is imported for calls that need it, as `multiprocessing` does. A script that
   must not start again in its workers needs `if __name__ == "__main__":`.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import pickle
import select
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, NoReturn

from inprocess.supervision.core.thread_bridge import is_async
from inprocess.supervision.isolation import current_call
from inprocess.supervision.isolation.pickling import Answer, Call, pack_error, pack_result, unpack_call

#: Exit code of a process that ends because of SIGTERM, as shells have it.
TERMINATED = 128 + signal.SIGTERM


def main(connection_fd: int, lifeline: int) -> None:
    """Make calls until the app closes the connection."""
    _die_with(lifeline)
    signal.signal(signal.SIGTERM, _terminate)
    connection = Connection(connection_fd)
    while True:
        try:
            call = Call(*pickle.loads(connection.recv_bytes()))  # noqa: S301 - from the app that started us
        except EOFError:
            return
        connection.send_bytes(pickle.dumps(tuple(_answer(call))))


def _answer(call: Call) -> Answer:
    current_call.begin(call.name, call.attempt)
    try:
        if call.main is not None:
            _import_main(call.main)
        function, args = unpack_call(call)
        result = _result(function, args)
    except (SystemExit, KeyboardInterrupt):
        raise  # ends the process, which the app sees
    except BaseException as error:  # noqa: BLE001 - belongs to who asked for the call, whatever it is
        return pack_error(call.name, error)
    return pack_result(call.name, result)


def _result(function: Callable[..., object], args: tuple[object, ...]) -> object:
    if is_async(function):
        return asyncio.run(function(*args))  # type: ignore[arg-type]  # is_async says so
    return function(*args)


def _import_main(preparation: dict[str, Any]) -> None:
    from multiprocessing import spawn  # late: most calls need no main module

    current_call.importing_main = True
    try:
        spawn.prepare(preparation)
    finally:
        current_call.importing_main = False


def _terminate(_signal: int, _frame: object) -> NoReturn:
    raise SystemExit(TERMINATED)


def _die_with(lifeline: int) -> None:
    try:
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    except (AttributeError, OSError):  # another system than Linux, or a sandbox that is not all of it
        threading.Thread(target=_watch, args=(lifeline,), daemon=True).start()
        return
    poll = select.poll()
    poll.register(lifeline, select.POLLHUP)
    if poll.poll(0):  # it closed before we listened
        os._exit(1)


def _watch(lifeline: int) -> None:
    os.read(lifeline, 1)
    os.killpg(0, signal.SIGKILL)
