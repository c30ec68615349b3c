"""Does the jobs of a side with known truth on the app's own loop, with the side's faults.

Waits are exact: asyncio's timer until shortly before the moment, then polling of the clock.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count

from bench.app.planted.truths import TRUTHS, Truth
from bench.ledger.job_names import PROBE
from scenarios import ledger

#: Seconds before a moment at which sleeping ends and polling of the clock begins.
SPIN_S = 0.001
INTERVAL_NS = 1_000_000_000

Work = Callable[[], Awaitable[object]]


class Engine:
    """Numbers the jobs of one side from 1 and does each as its truth says."""

    def __init__(self, truth: Truth) -> None:
        self.truth = truth
        self._numbers = count(1)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._syncs: dict[str, asyncio.Task[None]] = {}

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Work on the running loop until the app ends; running jobs are then cancelled."""
        self._loop = asyncio.get_running_loop()
        try:
            yield
        finally:
            for task in [*self._tasks, *self._syncs.values()]:
                task.cancel()

    def submit(self, scenario: str, job: str, work: Work) -> None:
        """Accept a job, from any thread."""
        number = 0 if PROBE in job else next(self._numbers)
        for attempt in range(1, self.truth.times(number) + 1 if number else 2):
            self._app_loop.call_soon_threadsafe(self._start, scenario, job, attempt, work)
        if number and number == self.truth.stall_at_job:
            self._app_loop.call_soon_threadsafe(self._stall)

    def _stall(self) -> None:
        """Block the loop, and record from when to when."""
        ledger.record("fault_on", planted=True)
        time.sleep(self.truth.stall_s)
        ledger.record("fault_off", planted=True)

    def sync(self, owner: str, run: Work) -> None:
        """Run every second of this side's clock from now on; starting twice is the same as once."""
        self._app_loop.call_soon_threadsafe(self._start_sync, owner, run)

    def stop_sync(self, owner: str) -> None:
        """Run it no longer."""
        self._app_loop.call_soon_threadsafe(lambda: owner in self._syncs and self._syncs.pop(owner).cancel())

    @property
    def _app_loop(self) -> asyncio.AbstractEventLoop:
        assert self._loop is not None, "the app has not started"  # noqa: S101 - requests come after the lifespan
        return self._loop

    def _start(self, scenario: str, job: str, attempt: int, work: Work) -> None:
        task = self._app_loop.create_task(self._do(scenario, job, attempt, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _do(self, scenario: str, job: str, attempt: int, work: Work) -> None:
        if self.truth.delay_ms:
            await exactly_until(time.monotonic_ns() + int(self.truth.delay_ms * 1e6))
        with ledger.attempt(scenario, job, attempt):
            await work()

    def _start_sync(self, owner: str, run: Work) -> None:
        if owner not in self._syncs:
            self._syncs[owner] = self._app_loop.create_task(self._tick(run))

    async def _tick(self, run: Work) -> None:
        interval_ns = int(INTERVAL_NS * (1 + self.truth.drift_ppm / 1e6))
        due = time.monotonic_ns()
        while True:
            await exactly_until(due)
            await run()
            due += interval_ns


async def exactly_until(moment_ns: int) -> None:
    """Wait until a moment of `time.monotonic_ns`, to some 10 µs where the loop is idle."""
    while (left_s := (moment_ns - time.monotonic_ns()) / 1e9) > 0:  # noqa: ASYNC110 - time is the event
        await asyncio.sleep(max(0.0, left_s - SPIN_S))


engine = Engine(TRUTHS.get(os.environ.get("QUEUE_OR_TASK_SIDE", ""), Truth()))
