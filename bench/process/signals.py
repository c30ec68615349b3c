"""How the programs of a run end: on a signal, or with one line and exit code 2."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

#: Exit code for an error that the caller can fix.
USAGE_ERROR = 2


def stop_on_signals() -> asyncio.Event:
    """An event of the running loop, set by SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    return stopping


@contextmanager
def interrupted_by_signals() -> Iterator[list[signal.Signals]]:
    """SIGTERM and SIGHUP do what Ctrl-C does; yield a list to which each that comes is added.

    A signal that is ignored, as by `nohup`, stays so. After SIGHUP the output to a terminal is dropped.
    """
    received: list[signal.Signals] = []
    terminals = [stream for stream in (1, 2) if os.isatty(stream)]

    def interrupt(number: int, _frame: FrameType | None) -> None:
        received.append(signal.Signals(number))
        if number == signal.SIGHUP:
            _drop_output(terminals)
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a script started this in the background
            raise KeyboardInterrupt
        signal.raise_signal(signal.SIGINT)

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {
        number: handler for number in numbers if (handler := signal.getsignal(number)) is not signal.SIG_IGN
    }
    for number in before:
        signal.signal(number, interrupt)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _drop_output(streams: Iterable[int]) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        os.dup2(nowhere, stream)
    os.close(nowhere)


def exit_with_usage_error(program: str, line: str) -> NoReturn:
    """Write one line that says what to fix, and exit."""
    sys.stderr.write(f"{program}: {line}\n")
    sys.exit(USAGE_ERROR)
