"""A short form of the soak; the long one is `python -m bench.soak.inprocess_soak`."""

from __future__ import annotations

import asyncio

import pytest

from bench.soak import inprocess_soak
from bench.soak.inprocess_soak import Sample, Soak, soak


@pytest.mark.slow
def test_a_hundred_thousand_tasks_and_a_thousand_crashes_leave_memory_as_it_was() -> None:
    batches: list[int] = []
    with inprocess_soak._silent():
        result = asyncio.run(soak(100_000, 1_000, batches=20, done=batches.append))
    assert (result.tasks, result.child_crashes, result.server_crashes) == (100_000, 900, 100)
    assert batches == list(range(1, 21))
    assert result.blocks_growth <= inprocess_soak.MAX_BLOCKS, str(result)


def test_a_short_soak_runs_and_crashes_as_often_as_it_was_told() -> None:
    batches: list[int] = []
    with inprocess_soak._silent():
        result = asyncio.run(soak(1_000, 40, batches=20, done=batches.append))
    assert (result.tasks, result.child_crashes, result.server_crashes) == (1_000, 36, 4)
    assert batches == list(range(1, 21))


def test_a_run_that_forgets_one_object_in_ten_tasks_is_found() -> None:
    kept: list[object] = []
    with inprocess_soak._silent():
        result = asyncio.run(
            soak(10_000, 0, batches=20, done=lambda _: kept.extend(object() for _ in range(50)))
        )
    assert result.blocks_growth > inprocess_soak.MAX_BLOCKS
    assert not result.is_steady
    assert "memory GROWN" in str(result)


def test_growth_is_counted_after_the_warm_up_and_from_least_to_least() -> None:
    blocks = [0, 900, 1000, 1005, 1000, 1100, 1010, 1003, 1004, 1050]
    result = Soak(samples=[Sample(value, 2 * value) for value in blocks])
    assert (result.blocks_growth, result.rss_growth) == (4, 8)


@pytest.mark.parametrize("rss", [inprocess_soak.MAX_RSS_BYTES, inprocess_soak.MAX_RSS_BYTES + 1])
def test_resident_memory_alone_decides_too(rss: int) -> None:
    result = Soak(samples=[Sample(1, 0)] * 5 + [Sample(1, rss)] * 5)
    assert result.is_steady is (rss <= inprocess_soak.MAX_RSS_BYTES)
