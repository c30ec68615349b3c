"""Periodic servers: what starting one costs, what an idle one holds, how late many of them tick.

    make bench-micro ARGS="-k periodic"

Ratios are taken within one run, since machines differ and are shared.
"""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.measures.statistics.quantiles import quantile
from inprocess.supervision.core.errors import Refused
from inprocess.supervision.core.scheduler import Scheduler
from inprocess.supervision.periodic.periodic import Periodic
from inprocess.supervision.tasks.child import Child
from inprocess.supervision.tasks.task_supervisor import TaskSupervisor

ROOT = Path(__file__).parent.parent.parent
#: Servers that are started together, and how often: small enough for a round that nobody disturbed.
BURST = 2_000
ROUNDS = 30
#: Servers that tick together, each once a second, and for how long, s.
TICKING = 10_000
TICKING_S = 4.0
#: Seconds between two looks of the bare ticker that they are compared with.
BARE_S = 0.01
#: Servers of the memory figure, and the bar for each of them.
IDLE = 1_000_000
BYTES = 400


async def nothing() -> None:
    """The smallest work."""


async def sleeper() -> None:
    """What a periodic server costs by hand."""
    while True:
        await asyncio.sleep(3600.0)
        await nothing()


@pytest.mark.benchmark(group=f"start {BURST} periodic servers", timer=time.process_time)
@pytest.mark.parametrize("way", ["sleeping task", "Periodic"])
def test_start_a_periodic_server(benchmark: BenchmarkFixture, way: str) -> None:
    async def main() -> None:
        kept: list[object] = []
        made: Callable[[], object] = (
            (lambda: asyncio.create_task(sleeper()))
            if way == "sleeping task"
            else (lambda: Periodic.start(lambda: None, interval_s=3600.0))
        )

        def burst() -> None:
            kept[:] = [made() for _ in range(BURST)]

        def let_go() -> None:
            for one in kept:
                if isinstance(one, Periodic):
                    one.shutdown()
                elif isinstance(one, asyncio.Task):
                    one.cancel()
            kept.clear()
            gc.collect()

        benchmark.pedantic(  # type: ignore[no-untyped-call] # pytest-benchmark has no types
            burst, setup=let_go, rounds=ROUNDS, iterations=1
        )
        let_go()

    asyncio.run(main())


@pytest.mark.benchmark(group="memory of an idle periodic server")
def test_an_idle_periodic_server_holds_few_bytes(benchmark: BenchmarkFixture) -> None:
    command = [sys.executable, "-m", "bench.micro.periodic_rss", str(IDLE)]

    def measured() -> dict[str, float]:
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        found: dict[str, float] = json.loads(done.stdout)
        return found

    found = benchmark.pedantic(measured, rounds=1, iterations=1)  # type: ignore[no-untyped-call] # as above
    benchmark.extra_info.update(found)
    sys.stdout.write(f"\nan idle periodic server: {found}\n")
    assert found["bytes_each"] <= BYTES


class Lateness:
    """How late the servers and one bare ticker of the same loop were, and what the runtime held it for."""

    def __init__(self, *, spread: bool) -> None:
        self.spread = spread
        self.servers: list[float] = []
        self.bare: list[float] = []
        self.held: list[float] = []

    async def measure(self) -> None:
        """Tick for TICKING_S."""
        loop = asyncio.get_running_loop()
        origin = loop.time() + 1.0
        async with TaskSupervisor.start() as tasks:
            servers = [self._ticking(tasks, origin, index) for index in range(TICKING)]
            loop.call_at(origin, self._bare, origin)
            gc.freeze()
            await asyncio.sleep(origin + TICKING_S - loop.time())
            for server in servers:
                server.shutdown()
        gc.unfreeze()

    def summary(self) -> dict[str, float]:
        """In ms; `held` in CPU time of the thread, which another process cannot add to."""
        return {
            "ticks": len(self.servers),
            "servers_p99_ms": round(1e3 * quantile(sorted(self.servers), 0.99), 2),
            "bare_p99_ms": round(1e3 * quantile(sorted(self.bare), 0.99), 2),
            "held_max_ms": round(1e3 * max(self.held), 2),
        }

    def _ticking(self, tasks: TaskSupervisor, origin: float, index: int) -> Periodic:
        t0 = origin + (index / TICKING if self.spread else 0.0)

        def spawn() -> Child | Refused:
            late = asyncio.get_running_loop().time() - t0
            self.servers.append(late % 1.0)
            return tasks.start_child(nothing)

        return Periodic.start(spawn, interval_s=1.0, t0=t0)

    def _bare(self, due: float) -> None:
        loop = asyncio.get_running_loop()
        self.bare.append(loop.time() - due)
        loop.call_at(due + BARE_S, self._bare, due + BARE_S)


@pytest.mark.benchmark(group=f"{TICKING} servers ticking every second")
@pytest.mark.parametrize("phases", ["spread", "one phase"])
def test_how_late_many_periodic_servers_tick(
    benchmark: BenchmarkFixture, phases: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lateness = Lateness(spread=phases == "spread")

    def timed(step: Callable[[Scheduler], None]) -> Callable[[Scheduler], None]:
        def run(scheduler: Scheduler) -> None:
            began = time.thread_time()
            step(scheduler)
            lateness.held.append(time.thread_time() - began)

        return run

    monkeypatch.setattr(Scheduler, "_turn", timed(Scheduler._turn))  # noqa: SLF001 - what holds the loop
    monkeypatch.setattr(Scheduler, "_fire_due", timed(Scheduler._fire_due))  # noqa: SLF001 - as above
    benchmark.pedantic(  # type: ignore[no-untyped-call] # as above
        lambda: asyncio.run(lateness.measure()), rounds=1, iterations=1
    )
    benchmark.extra_info.update(lateness.summary())
    sys.stdout.write(f"\n{TICKING} servers, {phases}: {lateness.summary()}\n")
    assert len(lateness.servers) >= TICKING * (TICKING_S - 1)
