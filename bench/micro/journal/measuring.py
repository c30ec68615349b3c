"""What the journal's benchmarks share on each database: the jobs, and what is timed of them."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pytest_benchmark.fixture import BenchmarkFixture

from inprocess import telemetry
from inprocess.journal import Journal, durable
from inprocess.journal.model import operations as op

#: Enqueues at once in a burst, and bursts.
BURST: Final = 32
BURSTS: Final = 15
#: Seconds that another process may take.
PATIENCE_S: Final = 60.0
#: Where peers are installed.
PEERS: Final = Path(__file__).parents[3] / ".cache" / "peers"

Samples = Mapping[str, Sequence[float]]


class Reversed:
    """A codec that costs little, as an encryption would stand in its place."""

    name = "reversed"

    def encode(self, body: bytes) -> bytes:
        return body[::-1]

    def decode(self, body: bytes) -> bytes:
        return body[::-1]


ran: list[float] = []


@durable(name="micro note")
async def note(_number: int) -> None:
    ran.append(time.monotonic())


@durable(name="micro nothing")
async def nothing(_number: int) -> None: ...


def replay(benchmark: BenchmarkFixture, samples: Sequence[float]) -> None:
    """Report what was measured in turns as rounds of pytest-benchmark."""
    spent = 0.0
    left = iter(samples)

    def clock() -> float:
        return spent

    def once() -> None:
        nonlocal spent
        spent += next(left)

    benchmark._timer = clock  # noqa: SLF001 - the rounds are over
    benchmark.pedantic(once, rounds=len(samples))  # type: ignore[no-untyped-call] # no types


def watch(journal: Journal, applied: Callable[[Sequence[op.AnyOperation]], object]) -> None:
    """Call a function with the operations of each transaction, once it is committed."""
    make_store = journal._make_store  # noqa: SLF001 - to see the commits

    def watched() -> Any:
        store = make_store()
        apply = store.apply

        def apply_and_tell(operations: Sequence[op.AnyOperation]) -> list[Any]:
            results = apply(operations)
            applied(operations)
            return results

        store.apply = apply_and_tell  # type: ignore[method-assign]  # of this object
        return store

    journal._make_store = watched  # noqa: SLF001 - as above


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - an event would be one more wake-up
        await asyncio.sleep(0.0005)


async def seconds_to_drain(journal: Journal, jobs: int) -> float:
    """Return the seconds for the jobs that wait, from the start of the process to the last of them."""
    ran.clear()
    gc.collect()
    gc.freeze()  # a full collection of all that this program has is not the journal's
    telemetry.attach("bench", [("journal", "start"), ("journal", "stop")], lambda *_: None)
    try:
        begin = time.perf_counter()
        async with journal:
            await until(lambda: len(ran) >= jobs)
            return time.perf_counter() - begin
    finally:
        telemetry.detach("bench")
        gc.unfreeze()


OTHER = """
import asyncio, sys, time
from inprocess.journal import Journal, durable

@durable(name="micro note")
async def note(number):
    print(time.monotonic(), flush=True)

async def main():
    async with Journal(sys.argv[1]):
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


def starts_elsewhere(url: str, pauses_s: Sequence[float]) -> list[float]:
    """Seconds from the commit of an enqueue in this process to the start in another one, after each pause."""
    journal = Journal(url)
    command = [sys.executable, "-c", OTHER, url]
    samples = []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for number, pause_s in enumerate(pauses_s):
            note.enqueue_from_thread(number, journal=journal)
            committed = time.monotonic()
            samples.append(float(process.stdout.readline()) - committed)
            time.sleep(pause_s)
        process.stdin.close()
        process.wait(PATIENCE_S)
    journal.close()
    return samples
