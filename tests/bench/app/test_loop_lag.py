from __future__ import annotations

import asyncio
import time

import pytest

from bench.app.loop_lag import INTERVAL_NS, Ticker


def test_ticks_lie_on_one_grid_and_are_taken_once() -> None:
    async def take() -> tuple[list[tuple[int, float]], list[tuple[int, float]]]:
        ticker = Ticker()
        ticking = asyncio.create_task(ticker.run())
        await asyncio.sleep(INTERVAL_NS / 1e9 * 5)
        taken, rest = ticker.take(), ticker.take()
        ticking.cancel()
        return taken, rest

    taken, rest = asyncio.run(take())
    assert taken
    assert rest == []
    assert {(due - taken[0][0]) % INTERVAL_NS for due, _ in taken} == {0}


def test_a_stall_is_charged_to_every_tick_that_it_covers() -> None:
    async def stall() -> list[tuple[int, float]]:
        ticker = Ticker()
        ticking = asyncio.create_task(ticker.run())
        await asyncio.sleep(0)
        time.sleep(0.1)  # noqa: ASYNC251 - the stall
        await asyncio.sleep(0.03)
        taken = ticker.take()
        ticking.cancel()
        return taken

    lags = [lag for _, lag in asyncio.run(stall())]
    worst = max(lags)
    assert worst >= 100 - INTERVAL_NS / 1e6
    covered = lags[lags.index(worst) :][:9]
    assert covered == pytest.approx([worst - 10 * n for n in range(len(covered))], abs=5)
