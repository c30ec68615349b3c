"""How long a crashed server is away: from the crash to running again, logging off.

make bench-micro
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from time import perf_counter

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from inprocess.supervision.servers.gen_server import GenServer
from inprocess.supervision.supervisors.child_spec import ChildSpec
from inprocess.supervision.supervisors.dynamic_supervisor import DynamicSupervisor
from inprocess.supervision.supervisors.supervisor import Supervisor

#: Crashes timed one by one.
ROUNDS = 2000


class Crashing(GenServer):
    """Notes when it crashes, and when it runs again."""

    crashed_at = 0.0
    running_at = 0.0
    again: asyncio.Future[None]

    def init(self) -> None:
        Crashing.running_at = perf_counter()
        if not Crashing.again.done():
            Crashing.again.set_result(None)
        Crashing.last = self

    def handle_cast(self, _message: object, /) -> None:
        Crashing.crashed_at = perf_counter()
        raise ValueError

    last: GenServer


@pytest.fixture
def _quietly() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("_quietly")
@pytest.mark.benchmark(group="crash to running again")
@pytest.mark.parametrize("kind", ["supervisor", "dynamic"])
def test_crash_to_running_again(benchmark: BenchmarkFixture, kind: str) -> None:
    loop = asyncio.new_event_loop()
    Crashing.again = loop.create_future()

    async def begin() -> Supervisor | DynamicSupervisor:
        spec = ChildSpec("a", Crashing.start)
        if kind == "supervisor":
            return Supervisor.start([spec], max_restarts=10**9)
        supervisor = DynamicSupervisor.start(max_restarts=10**9)
        await supervisor.start_child(spec)
        return supervisor

    times: list[float] = []

    async def crash() -> None:
        Crashing.again = loop.create_future()
        Crashing.last.cast("crash")
        await Crashing.again
        times.append(Crashing.running_at - Crashing.crashed_at)

    tree = loop.run_until_complete(begin())
    benchmark.pedantic(  # type: ignore[no-untyped-call] # pytest-benchmark has no types
        lambda: loop.run_until_complete(crash()), rounds=ROUNDS, warmup_rounds=10
    )
    times.sort()
    benchmark.extra_info["crash_to_running_median_us"] = times[len(times) // 2] * 1e6
    loop.run_until_complete(tree.stop())
    loop.close()
