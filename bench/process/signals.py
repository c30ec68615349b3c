"""How the programs of a run end: when they are told, or with one line and exit code 2."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import NoReturn

#: Exit code for what the person who started a program can mend.
USAGE_ERROR = 2


def stop_on_signals() -> asyncio.Event:
    """An event of the running loop, set by SIGTERM or SIGINT."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    return asked


def give_up(program: str, line: str) -> NoReturn:
    """End with a line that says what the person who started the program can mend."""
    sys.stderr.write(f"{program}: {line}\n")
    sys.exit(USAGE_ERROR)
