"""How the programs of a run end: on a signal, or with one line and exit code 2."""

from __future__ import annotations

import asyncio
import signal
import sys
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


def exit_with_usage_error(program: str, line: str) -> NoReturn:
    """Write one line that says what to fix, and exit."""
    sys.stderr.write(f"{program}: {line}\n")
    sys.exit(USAGE_ERROR)
