"""A machine that is suspended: the monotonic clock stands still meanwhile, and the grid must not."""

from __future__ import annotations

import asyncio
import math
import os
import shutil
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inprocess import FixedDelay, Misfire, Periodic, TickCounts
from inprocess.supervision.core.scheduler import schedulers_of
from inprocess.supervision.periodic.timer_process import clocks_moved
from inprocess.testing import FakeClock, settle


@pytest.mark.parametrize(
    ("misfire", "runs", "misfires"), [("skip", 1, 2), ("coalesce", 1, 2), ("catch_up", 3, 0)]
)
def test_what_came_due_meanwhile_is_counted_and_served_by_the_policy(
    misfire: Misfire, runs: int, misfires: int
) -> None:
    async def main() -> None:
        clock, seen = FakeClock(0.0), []
        server = Periodic.start(
            lambda: seen.append(clock.wall()), interval_s=10.0, misfire=misfire, clock=clock
        )
        await clock.advance(12.0)
        clock.suspend(33.0)  # from 12 to 45
        await clock.advance(0.0)
        assert seen == [10.0, *[45.0] * runs]
        assert server.counts == TickCounts(runs=1 + runs, misfires=misfires)
        await clock.advance(15.0)
        assert seen[1 + runs :] == [50.0, 60.0]  # its grid by the wall clock
        await server.stop()
        assert clock.pending == 0

    asyncio.run(main())


def test_a_suspend_is_a_part_of_a_fixed_delay() -> None:
    async def main() -> None:
        clock, seen = FakeClock(0.0), []
        server = FixedDelay.start(lambda: seen.append(clock.wall()), interval_s=10.0, clock=clock)
        quiet = FixedDelay.start(lambda: None, interval_s=10.0, clock=clock)
        quiet.quiet()
        await clock.advance(4.0)
        clock.suspend(3.0)  # from 4 to 7
        await clock.advance(3.0)
        assert seen == [10.0]
        clock.suspend(33.0)  # from 10 to 43: the wait of 10 s that began at 10 is over
        await clock.advance(0.0)
        assert seen == [10.0, 43.0]
        clock.set_wall(1_000.0)
        await clock.advance(10.0)
        assert seen == [10.0, 43.0, 1_010.0]
        assert quiet.next_at is None
        await server.stop()
        await quiet.stop()
        assert clock.pending == 0

    asyncio.run(main())


def test_a_fixed_delay_that_began_after_the_suspend_is_as_long_as_ever() -> None:
    async def main() -> None:
        clock, seen = FakeClock(0.0), []
        server = FixedDelay.start(lambda: seen.append(clock.wall()), interval_s=10.0, clock=clock)
        await clock.advance(12.0)
        for scheduler in schedulers_of(asyncio.get_running_loop()):
            clocks_moved(scheduler, 5.0, since=9.0)  # noticed at 12, and its wait began at 10
        await clock.advance(7.0)
        assert seen == [10.0]
        await clock.advance(1.0)
        assert seen == [10.0, 20.0]
        await server.stop()

    asyncio.run(main())


def test_a_short_suspend_moves_the_grid_only() -> None:
    async def main() -> None:
        clock, seen = FakeClock(0.0), []
        server = Periodic.start(lambda: seen.append(clock.wall()), interval_s=3600.0, clock=clock)
        quiet = Periodic.start(lambda: None, interval_s=3600.0, clock=clock)
        quiet.quiet()
        await clock.advance(600.0)
        clock.suspend(1800.0)
        await clock.advance(1200.0)
        assert seen == [3600.0]
        assert server.counts == TickCounts(runs=1)
        assert quiet.next_at is None
        await server.stop()
        await quiet.stop()

    asyncio.run(main())


def test_the_moments_hold_after_many_suspends_with_jitter_too() -> None:
    async def main() -> None:
        clock, seen = FakeClock(0.0), []
        server = Periodic.start(
            lambda: seen.append(clock.wall()), interval_s=10.0, jitter_s=4.0, chance=lambda: 0.5, clock=clock
        )
        for _ in range(20):
            await clock.advance(7.0)
            clock.suspend(3.5)
        await settle()
        due = int(clock.wall() // 10)
        assert server.counts.runs + server.counts.misfires in {due, due - 1}
        assert all(moment % 10 >= 2.0 or moment % 10 == pytest.approx(0) for moment in seen)
        await server.stop()

    asyncio.run(main())


@given(
    start=st.floats(0.0, 1e7),
    interval_s=st.floats(1.0, 1e5),
    before=st.floats(0.0, 5.0),
    suspended=st.floats(0.0, 5.0),
)
@settings(max_examples=200, deadline=None)
def test_each_tick_is_run_or_counted_whatever_the_rounding(
    start: float, interval_s: float, before: float, suspended: float
) -> None:
    async def main() -> None:
        clock = FakeClock(start)
        server = Periodic.start(lambda: None, interval_s=interval_s, clock=clock)
        await clock.advance(before * interval_s)
        clock.suspend(suspended * interval_s)
        await clock.advance(0.0)
        due = (before + suspended) * interval_s
        counts = server.counts.runs + server.counts.misfires
        assert math.floor(due / interval_s - 1e-6) <= counts <= math.floor(due / interval_s + 1e-6)
        await server.stop()

    asyncio.run(main())


def test_in_a_real_process_it_is_noticed(tmp_path: Path) -> None:
    """The clocks of the process are moved, as a suspend moves them; no machine sleeps for the test."""
    if shutil.which("cc") is None:
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail("needs a C compiler: apt-get install -y gcc")
        pytest.skip("needs a C compiler: apt-get install -y gcc")
    library, ahead = tmp_path / "suspend.so", tmp_path / "ahead"
    source = Path(__file__).with_name("suspend.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"], check=True)  # noqa: S607 - found above
    ahead.write_bytes(struct.pack("=q", 0))
    code = """
        import asyncio, struct, sys, time
        from inprocess import Periodic, set_watchdog
        from inprocess.supervision.introspection import watchdog
        watchdog.CLOCKS_S = 0.3
        set_watchdog(blocked_after_s=None if sys.argv[2] == "off" else 60.0)

        async def main():
            hourly = Periodic.start(lambda: None, interval_s=3600.0, misfire="skip")
            await asyncio.sleep(0.8)
            with open(sys.argv[1], "r+b") as file:
                file.write(struct.pack("=q", 3 * 3600))
            end = time.monotonic() + 30
            while not hourly.counts.runs and time.monotonic() < end:
                await asyncio.sleep(0.05)
            print(hourly.counts.runs, hourly.counts.misfires)

        asyncio.run(main())
    """
    for watchdog in ("on", "off"):
        with ahead.open("r+b") as file:
            file.write(struct.pack("=q", 0))
        ended = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code), str(ahead), watchdog],
            env={**os.environ, "LD_PRELOAD": str(library), "SUSPEND_FILE": str(ahead)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert (ended.stdout, ended.stderr) == ("1 2\n", "")
