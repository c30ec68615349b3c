"""Drain: a graceful end in two phases, with a report of the work that was cut off.

Quiet:
1. Refuse new work with a clear error; stop ticks, and permanent children of task supervisors, which are loops
   and no work that could finish.
2. Wait until no work is held, for at most `grace_s`. Retries go on meanwhile.
Stop:
3. Stop the tree: the remaining work is cancelled, each piece within its own limit, and abandoned if it
   suppresses that.
4. Report what was cut off, by name and arguments. Work that returned within its limit is not.

OTP has no drain: `init:stop` begins with the second phase.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final
from weakref import WeakKeyDictionary

from inprocess.supervision.core.clock import settle
from inprocess.supervision.core.exits import NORMAL
from inprocess.supervision.core.log import log
from inprocess.supervision.core.process import Held, Process
from inprocess.supervision.core.thread_bridge import across

#: Seconds that work has to finish when an app ends, before it is cancelled. Docker kills after 10.
GRACE_S: Final = 8.0
#: Lines of a report that name cut-off work; a longer report gives the number of the others.
REPORTED_WORK = 100


@dataclass(frozen=True, slots=True)
class CutOff:
    """One piece of work that the drain ended; `state` is its state at the end of the grace."""

    name: str
    description: str
    state: str
    attempt: int
    abandoned: bool


@dataclass(frozen=True, slots=True)
class DrainReport:
    """The outcome of the work held when the drain began: `ended` of it ended by itself."""

    ended: int
    cut_off: tuple[CutOff, ...] = ()

    def __str__(self) -> str:
        if not self.cut_off:
            return f"drained: {self.ended} ended, none cut off"
        lines = [f"drained: {self.ended} ended, {len(self.cut_off)} cut off and lost:"]
        for work in self.cut_off[:REPORTED_WORK]:
            abandoned = ", abandoned: it cannot be stopped and may still be running" if work.abandoned else ""
            lines.append(f"  {work.description} ({work.state}, attempt {work.attempt}{abandoned})")
        if len(self.cut_off) > REPORTED_WORK:
            lines.append(f"  and {len(self.cut_off) - REPORTED_WORK} more")
        return "\n".join(lines)


async def drain(process: Process, *, grace_s: float) -> DrainReport:
    """End a process and all below it, as the module describes; log the report and return it.

    `grace_s` is in seconds of the process's clock. A cancellation cuts the grace short: stop and report still
    follow, then CancelledError is raised. Any loop; from a thread call
    `on_loop(drain, process, grace_s=...)`.
    """
    process = process.__process__
    if asyncio.get_running_loop() is not process.loop:
        return await across(process.loop, partial(drain, process, grace_s=grace_s))
    _promised[process.loop] = max(_promised.get(process.loop, 0.0), time.monotonic() + grace_s)
    process.quiet()
    before = len(process.held())
    try:
        await _idle_within(process, grace_s)
    finally:
        left = list(process.held())
        states = [work.state for work in left]
        await process.stop()
        cut = cut_off(left, states)
        report = DrainReport(max(0, before - len(cut)), cut)
        (log.error if cut else log.info)("%s %s", process.name, report)
    return report


def cut_off(work: Sequence[Held], states: Sequence[str]) -> tuple[CutOff, ...]:
    """Return the records of stopped work, with its states before the stop, without work that returned."""
    return tuple(
        CutOff(held.name, held.describe(), state, held.attempt, held.state == "abandoned")
        for held, state in zip(work, states, strict=True)
        if getattr(held, "exit", None) != NORMAL
    )


def promised_until(loop: asyncio.AbstractEventLoop) -> float:
    """Return when the last grace of a drain on this loop ends, `time.monotonic` seconds. Any thread."""
    return _promised.get(loop, 0.0)


_promised: WeakKeyDictionary[asyncio.AbstractEventLoop, float] = WeakKeyDictionary()


async def _idle_within(process: Process, seconds: float) -> None:
    woken = asyncio.get_running_loop().create_future()
    timer = process.clock.call_later(seconds, lambda: settle(woken))
    idle = asyncio.ensure_future(process.idle())
    idle.add_done_callback(lambda _task: settle(woken))
    try:
        await woken
    finally:
        timer.cancel()
        idle.cancel()
