"""Servers that go by a schedule: any object that tells the next due time."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inprocess import Misfire, Periodic, Schedule, TickCounts
from inprocess.supervision.periodic.schedule import MISSES_COUNTED, DueTimes
from inprocess.supervision.periodic.tick_store import wait_until_saved
from inprocess.testing import FakeClock


class At:
    """Due at these moments."""

    def __init__(self, *moments: float) -> None:
        self.moments = sorted(moments)

    def next_after(self, moment: float, /) -> float:
        at = bisect_right(self.moments, moment)
        return self.moments[at] if at < len(self.moments) else inf


class Every:
    """Due every so many seconds since 1970."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def next_after(self, moment: float, /) -> float:
        return (moment // self.seconds + 1) * self.seconds


class Memory:
    def __init__(self) -> None:
        self.moments: dict[str, float] = {}

    def load(self, name: str) -> float | None:
        return self.moments.get(name)

    def save(self, name: str, moment: float) -> None:
        self.moments[name] = moment


def run(
    schedule: Schedule, wall: float, *steps: object, misfire: Misfire = "skip"
) -> tuple[list[float], TickCounts]:
    """Advance by numbers; ("set", moment) sets the wall clock, ("suspend", s) and ("jump", s) stop it all."""

    async def main() -> tuple[list[float], TickCounts]:
        clock, seen = FakeClock(77.0), []
        clock.set_wall(wall)
        server = Periodic.start(
            lambda: seen.append(clock.wall()), schedule=schedule, misfire=misfire, clock=clock
        )
        for step in steps:
            match step:
                case ("set", float(moment)):
                    clock.set_wall(moment)
                case ("suspend", float(seconds)):
                    clock.suspend(seconds)
                case ("jump", float(seconds)):
                    clock.jump(seconds)
                case float(seconds):
                    await clock.advance(seconds)
                case _:
                    raise AssertionError(step)
        assert server.schedule is schedule
        with pytest.raises(ValueError, match="the interval is inf"):
            _ = server.grid
        await server.stop()
        assert clock.pending == 0
        return seen, server.counts

    return asyncio.run(main())


def test_a_server_runs_at_the_due_times_of_its_schedule_until_there_is_none() -> None:
    assert run(At(1010.0, 1011.0, 1500.0), 1000.0, 10_000.0) == ([1010.0, 1011.0, 1500.0], TickCounts(runs=3))


def test_it_goes_by_the_wall_clock() -> None:
    seen, counts = run(Every(100.0), 1000.0, 50.0, ("set", 1090.0), 15.0, ("set", 1050.0), 100.0)
    assert seen == [1100.0]  # 1105 was set back to 1050, and 1100 is not repeated
    assert counts == TickCounts(runs=1)
    seen, counts = run(Every(100.0), 100_000.0, 150.0, ("set", 1050.0), 100.0)
    assert seen == [100_100.0, 1100.0]  # set back by a day: it begins anew


@pytest.mark.parametrize(
    ("misfire", "runs", "misfires"), [("skip", 1, 2), ("coalesce", 1, 2), ("catch_up", 3, 0)]
)
@pytest.mark.parametrize("how", ["suspend", "jump"])
def test_what_came_due_in_a_suspend_or_a_stall_is_served_by_the_policy(
    misfire: Misfire, runs: int, misfires: int, how: str
) -> None:
    seen, counts = run(Every(10.0), 1000.0, 12.0, (how, 33.0), 0.5, 9.0, misfire=misfire)
    assert seen == [1010.0, *[1045.0] * runs, 1050.0]
    assert counts == TickCounts(runs=2 + runs, misfires=misfires)


def test_with_state_it_knows_what_came_due_while_no_process_ran() -> None:
    store = Memory()

    async def live(wall: float, seconds: float) -> tuple[list[float], TickCounts]:
        clock, seen = FakeClock(5.0), []
        clock.set_wall(wall)
        server = Periodic.start(
            lambda: seen.append(clock.wall()), schedule=Every(10.0), state=store, name="r", clock=clock
        )
        await clock.advance(seconds)
        await server.stop()
        return seen, server.counts

    assert asyncio.run(live(1001.0, 4.0)) == ([], TickCounts())
    assert wait_until_saved()
    assert asyncio.run(live(1042.0, 3.0)) == ([1042.0], TickCounts(runs=1, misfires=3))
    assert wait_until_saved()
    assert asyncio.run(live(1048.0, 3.0)) == ([1050.0], TickCounts(runs=1))
    assert wait_until_saved()


@settings(max_examples=100, deadline=None)
@given(
    gaps=st.lists(st.floats(0.001, 50.0), min_size=1, max_size=30),
    looks=st.lists(st.floats(0.0, 80.0), min_size=1, max_size=20),
)
def test_the_due_times_that_pass_are_counted_each_once(gaps: list[float], looks: list[float]) -> None:
    moments, at = [], 0.0
    for gap in gaps:
        at += gap
        moments.append(at)
    times, now, passed = DueTimes(At(*moments), 0.0), 0.0, 0
    for look in looks:
        now += look
        before = times.last
        missed = times.pass_by(now)
        passed += missed + (times.last != before)
        assert passed == bisect_right(sorted(moments), now)
        assert times.next > now
        assert times.last <= now


def test_a_schedule_that_missed_a_year_of_seconds_is_not_counted_one_by_one() -> None:
    asked = 0

    class Counting(Every):
        def next_after(self, moment: float, /) -> float:
            nonlocal asked
            asked += 1
            return super().next_after(moment)

    times = DueTimes(Counting(1.0), 0.0)
    missed = times.pass_by(31_536_000.5)
    assert MISSES_COUNTED <= missed <= MISSES_COUNTED + 5
    assert (times.last, times.next) == (31_536_000.0, 31_536_001.0)
    assert asked < MISSES_COUNTED + 50


def test_a_schedule_that_does_not_move_on_is_an_error_that_names_it() -> None:
    class Stuck:
        def next_after(self, moment: float, /) -> float:
            return moment

        def __repr__(self) -> str:
            return "Stuck()"

    async def main() -> None:
        with pytest.raises(ValueError, match=r"Stuck\(\) is due at .*, which is not after"):
            Periodic.start(lambda: None, schedule=Stuck(), name="stuck")
        await Periodic.start(lambda: None, interval_s=1.0, name="stuck").stop()  # the name is free

    asyncio.run(main())
