"""GenServer's costs beside bare futures, in one run: the ratios are what counts.

    .venv/bin/python -m pytest bench/micro/test_gen_server.py --benchmark-enable

- "call round trip": a caller waits for a reply, ROUNDTRIPS times. The bare one is a task that
  awaits one future and answers by another, so two turns of the loop, and two wake-ups.
- "cast": a burst of BURST messages, posted and handled; divide by BURST for one.
- "idle server": started and left alone; the bare one is a task that waits for a future.

A call is at 1.46 to 1.49 of the bare futures on asyncio and at 2.0 on uvloop (8 turns, processor time, load
20); the bar is 1.5 for both. What the runtime does in Python for a call, about 2.5 µs (the caller, its
deadline, a step of the scheduler, the handler's context), is the same on both, and uvloop's own round trip
takes half the time.

The garbage collector rests meanwhile, as pytest-benchmark has it for all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from inprocess import Caller, GenServer

#: Calls, one after the other, of one round.
ROUNDTRIPS = 2000
#: Casts of one round.
BURST = 20_000
#: Servers started in one round.
SERVERS = 5000
ROUNDS = 15


class Plain(GenServer):
    def init(self) -> None:
        self.count = 0

    def handle_call(self, request: Any, _caller: Caller, /) -> Any:
        return request

    def handle_cast(self, _message: Any, /) -> None:
        self.count += 1


class Awaiting(Plain):
    async def handle_call(self, request: Any, _caller: Caller, /) -> Any:
        return request


class Idle(GenServer):
    __slots__ = ()


def timed(benchmark: BenchmarkFixture, round_of: Callable[[], Awaitable[None]]) -> None:
    """Time a coroutine function in rounds, each on the same loop."""
    with asyncio.Runner() as runner:

        async def once() -> None:
            await round_of()

        benchmark.pedantic(  # type: ignore[no-untyped-call] # pytest-benchmark has no types
            lambda: runner.run(once()), rounds=ROUNDS, warmup_rounds=1
        )


@pytest.mark.benchmark(group=f"call round trip, {ROUNDTRIPS} of them")
def test_bare_futures(benchmark: BenchmarkFixture) -> None:
    async def round_of() -> None:
        loop = asyncio.get_running_loop()
        box: list[asyncio.Future[Any]] = [loop.create_future()]

        async def serve() -> None:
            while (asked := await box[0]) is not None:
                box[0] = loop.create_future()
                asked.set_result(1)

        serving = asyncio.create_task(serve())
        await asyncio.sleep(0)
        for _ in range(ROUNDTRIPS):
            reply = loop.create_future()
            box[0].set_result(reply)
            await reply
        box[0].set_result(None)
        await serving

    timed(benchmark, round_of)


@pytest.mark.benchmark(group=f"call round trip, {ROUNDTRIPS} of them")
@pytest.mark.parametrize("kind", [Plain, Awaiting])
def test_call(benchmark: BenchmarkFixture, kind: type[GenServer]) -> None:
    async def round_of() -> None:
        async with kind.start() as server:
            for _ in range(ROUNDTRIPS):
                await server.call(1)

    timed(benchmark, round_of)


@pytest.mark.benchmark(group=f"cast, a burst of {BURST}")
def test_cast(benchmark: BenchmarkFixture) -> None:
    async def round_of() -> None:
        async with Plain.start() as server:
            for _ in range(BURST):
                server.cast(1)
            await server.call(1)
            assert server.count == BURST

    timed(benchmark, round_of)


@pytest.mark.benchmark(group=f"idle server, {SERVERS} of them")
@pytest.mark.parametrize("kind", ["task", "server"])
def test_start(benchmark: BenchmarkFixture, kind: str) -> None:
    async def round_of() -> None:
        loop = asyncio.get_running_loop()
        if kind == "server":
            servers = [Idle.start() for _ in range(SERVERS)]
            assert len(servers) == SERVERS
            return
        gate = loop.create_future()

        async def wait() -> None:
            await gate

        tasks = [asyncio.create_task(wait()) for _ in range(SERVERS)]
        await asyncio.sleep(0)
        gate.set_result(None)
        await asyncio.gather(*tasks)

    timed(benchmark, round_of)
