"""What one event costs the process that records it: at most 2 µs, or the instrument is in the way.

make bench-micro
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from scenarios import ledger
from scenarios.ledger import Ledger

#: Microseconds that one event may cost in the quietest of the rounds, each the mean of 1,000 events.
LIMIT_US = 2.0
ITERATIONS = 1_000
ROUNDS = 200
CONTEXT = {"run": "2026-11-23T22-10-48-quick", "block": "r00-celery-hardened", "side": "celery-hardened"}


def timed(benchmark: BenchmarkFixture, call: object) -> None:
    benchmark.pedantic(  # type: ignore[no-untyped-call] # pytest-benchmark has no types
        call, iterations=ITERATIONS, rounds=ROUNDS, warmup_rounds=5
    )


def one_event() -> None:
    ledger.record("start", scenario="account_setup", job="r00-celery-hardened-000042/crm", attempt=1)


@pytest.mark.benchmark(group="record one event")
def test_an_event_costs_at_most_two_microseconds(
    benchmark: BenchmarkFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Ledger(tmp_path, CONTEXT)
    monkeypatch.setattr(ledger, "_ledger", kept)
    timed(benchmark, one_event)
    kept.close()
    if benchmark.stats is not None:  # None: benchmarks are switched off
        assert benchmark.stats.stats.min * 1e6 <= LIMIT_US


@pytest.mark.benchmark(group="record one event")
def test_where_no_ledger_is_kept(benchmark: BenchmarkFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "_ledger", None)
    timed(benchmark, one_event)


@pytest.mark.benchmark(group="record one event")
def test_one_write_of_as_many_bytes_for_comparison(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    file = os.open(tmp_path / "lines", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    line = b"x" * 200
    timed(benchmark, lambda: os.write(file, line))
    os.close(file)


@pytest.mark.benchmark(group="record one event")
def test_the_clock_alone_for_comparison(benchmark: BenchmarkFixture) -> None:
    timed(benchmark, time.monotonic_ns)
