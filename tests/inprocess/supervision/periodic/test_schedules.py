"""Servers that go by a schedule: any object that tells the next due time, and cron expressions."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import inf
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inprocess import Misfire, Periodic, Schedule, TickCounts
from inprocess.cron import Cron
from inprocess.supervision.periodic.schedule import MISSES_COUNTED, DueTimes
from inprocess.supervision.periodic.tick_store import wait_until_saved
from inprocess.testing import FakeClock

BERLIN = ZoneInfo("Europe/Berlin")


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


def moments(cron: Cron, begin: datetime, count: int) -> list[str]:
    """The next due times, in the zone of `begin`."""
    found, at = [], begin.timestamp()
    for _ in range(count):
        at = cron.next_after(at)
        found.append(datetime.fromtimestamp(at, begin.tzinfo).isoformat())
    return found


def test_a_cron_expression_is_due_at_the_hour_of_its_zone_in_summer_and_winter() -> None:
    cron = Cron("30 8 * * MON-FRI", tz="Europe/Berlin")
    assert moments(cron, datetime(2026, 3, 27, 9, 0, tzinfo=BERLIN), 2) == [
        "2026-03-30T08:30:00+02:00",
        "2026-03-31T08:30:00+02:00",
    ]
    assert moments(Cron("30 8 * * *"), datetime(2026, 7, 1, tzinfo=UTC), 1) == ["2026-07-01T08:30:00+00:00"]


def test_what_falls_into_the_hour_that_is_skipped_runs_after_it_and_into_the_one_that_comes_twice_once() -> (
    None
):
    at_half_past_two = Cron("30 2 * * *", tz=BERLIN)
    spring = moments(at_half_past_two, datetime(2026, 3, 28, 12, 0, tzinfo=BERLIN), 2)
    assert spring == ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]
    autumn = moments(at_half_past_two, datetime(2026, 10, 24, 12, 0, tzinfo=BERLIN), 2)
    assert autumn == ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]


def test_a_wildcard_goes_on_through_the_hour_that_comes_twice() -> None:
    begin = datetime(2026, 10, 25, 1, 59, tzinfo=BERLIN).timestamp()
    cron, due = Cron("*/15 * * * *", tz="Europe/Berlin"), []
    for _ in range(9):
        begin = cron.next_after(begin)
        due.append(begin)
    assert {later - earlier for earlier, later in pairwise(due)} == {900.0}


@settings(max_examples=60, deadline=None)
@given(
    days=st.integers(0, 4000),
    minute=st.integers(0, 59),
    hour=st.integers(0, 23),
    zone=st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]),
)
def test_a_daily_expression_is_due_once_in_each_day_of_its_zone(
    days: int, minute: int, hour: int, zone: str
) -> None:
    cron = Cron(f"{minute} {hour} * * *", tz=zone)
    begin = (datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=days)).timestamp()
    first = cron.next_after(begin)
    second = cron.next_after(first)
    one, two = (datetime.fromtimestamp(at, ZoneInfo(zone)).date() for at in (first, second))
    assert two - one == timedelta(days=1)


@pytest.mark.parametrize(
    ("expression", "zone", "message"),
    [
        ("61 * * * *", "UTC", "the cron expression is '61 [*] [*] [*] [*]': .*expected five fields"),
        ("daily", "UTC", "the cron expression is 'daily'"),
        ("0 0 30 2 *", "UTC", "Bad day-of-month"),
        ("0 3 * * *", "Europe/Berln", "the time zone is 'Europe/Berln': expected a name"),
        ("0 3 * * *", "../etc/passwd", "the time zone is"),
    ],
)
def test_an_expression_or_zone_that_cannot_be_is_refused(expression: str, zone: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Cron(expression, tz=zone)


def test_a_cron_server_runs_through_a_change_of_the_clocks() -> None:
    begin = datetime(2026, 3, 28, 12, 0, tzinfo=BERLIN).timestamp()
    seen, counts = run(Cron("30 2 * * *", tz="Europe/Berlin"), begin, 3 * 86_400.0)
    assert [datetime.fromtimestamp(at, BERLIN).isoformat() for at in seen] == [
        "2026-03-29T03:00:00+02:00",
        "2026-03-30T02:30:00+02:00",
        "2026-03-31T02:30:00+02:00",
    ]
    assert counts == TickCounts(runs=3)
