"""The noise beside a block: the hiccup meter is started for it, ended and read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from bench.blocks.context import Context
from bench.process.process_table import Process
from bench.stack import hiccup_meter
from bench.stack.stack import Stack
from queue_or_task import module_command


@dataclass(frozen=True, slots=True, kw_only=True)
class Hiccups:
    """What the meter saw, ms."""

    p99_ms: float
    max_ms: float

    def columns(self) -> Mapping[str, float]:
        """The columns of `blocks.csv`."""
        return {"hiccup_p99_ms": self.p99_ms, "hiccup_max_ms": self.max_ms}


def start_meter(context: Context, stack: Stack, *, start_ns: int, seconds: float) -> Process:
    """Start the meter of one block, which measures for `seconds` from `start_ns` (monotonic) unless ended."""
    return context.table.start(
        "hiccup",
        module_command(
            hiccup_meter.__name__,
            *("--start-at", str(start_ns), "--seconds", str(seconds), "--folder", str(stack.folder)),
        ),
        env=stack.processes.env,
        folder=stack.folder,
    )


async def end_meter(context: Context, stack: Stack, meter: Process) -> Hiccups:
    """End the meter where it still measures, and return what it saw."""
    await context.table.stop(meter)
    seen = json.loads((stack.folder / hiccup_meter.SUMMARY).read_text())
    return Hiccups(p99_ms=seen["p99_ms"], max_ms=seen["max_ms"])
