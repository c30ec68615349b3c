"""The last ticks of periodic servers as rows of a journal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from inprocess import Periodic, TickStore
from inprocess.journal import Journal
from inprocess.supervision.periodic.tick_store import wait_until_saved
from inprocess.testing import FakeClock
from tests.inprocess.journal.conftest import run

WALL = 1_800_000_000.0


def test_a_tick_is_a_row_and_a_moment_with_microseconds(make_journal: Callable[..., Journal]) -> None:
    ticks: TickStore = make_journal().ticks
    assert ticks.load("sync") is None
    ticks.save("sync", WALL + 0.000001)
    ticks.save("other", WALL)
    assert make_journal().ticks.load("sync") == WALL + 0.000001


def test_a_server_goes_on_where_its_predecessor_ended(make_journal: Callable[..., Journal]) -> None:
    runs: list[float] = []

    async def live(wall: float, seconds: float) -> None:
        clock = FakeClock(0.0)
        clock.set_wall(wall)
        server = Periodic.start(
            lambda: runs.append(round(clock.wall() - WALL)), interval_s=86400.0, name="daily", clock=clock,
            state=make_journal().ticks, misfire="coalesce",
        )  # fmt: skip
        await clock.advance(seconds)
        await server.stop()
        await asyncio.to_thread(wait_until_saved)

    async def main() -> None:
        for hours in range(0, 96, 16):  # no process lives for a day
            await live(WALL + hours * 3600, 15 * 3600)
        await asyncio.get_running_loop().shutdown_default_executor()

    run(main())
    assert len(runs) >= 3
