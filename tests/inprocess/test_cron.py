"""Cron expressions as schedules: time zones, summer time, and what cannot be."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inprocess import Periodic, TickCounts
from inprocess.cron import Cron
from inprocess.testing import FakeClock

BERLIN = ZoneInfo("Europe/Berlin")


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
    async def main() -> None:
        clock, seen = FakeClock(), []
        clock.set_wall(datetime(2026, 3, 28, 12, 0, tzinfo=BERLIN).timestamp())
        server = Periodic.start(
            lambda: seen.append(datetime.fromtimestamp(clock.wall(), BERLIN).isoformat()),
            schedule=Cron("30 2 * * *", tz="Europe/Berlin"),
            clock=clock,
        )
        await clock.advance(3 * 86_400.0)
        assert seen == [
            "2026-03-29T03:00:00+02:00",
            "2026-03-30T02:30:00+02:00",
            "2026-03-31T02:30:00+02:00",
        ]
        assert server.counts == TickCounts(runs=3)
        await server.stop()

    asyncio.run(main())
