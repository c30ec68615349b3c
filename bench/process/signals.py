"""What the programs of a run have in common: they end when they are told, and say where they are."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

from bench.atomic_write import write_atomically


def stop_on_signals() -> asyncio.Event:
    """An event of the running loop, set by SIGTERM or SIGINT."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    return asked


def write_json(path: Path, value: Any) -> None:
    """Write a file that is either absent or whole."""
    write_atomically(path, json.dumps(value) + "\n")
