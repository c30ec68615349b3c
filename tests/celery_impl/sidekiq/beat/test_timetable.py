"""The grid, the calendar, the policies, the clock, the pauses: pure functions, and a clock of the test's."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.beat import ScheduleEntry
from celery.exceptions import ImproperlyConfigured
from celery.schedules import crontab, schedule
from hypothesis import given
from hypothesis import strategies as st

from celery_impl.sidekiq.beat.lease import LeaseState, check_ttl
from celery_impl.sidekiq.beat.lease_client import BACKOFF_MAX_S, Backoff, LeaseClient
from celery_impl.sidekiq.beat.policies import Policy, PolicyError, Tick, due_tick, expires_s
from celery_impl.sidekiq.beat.schedule_entries import Item, Plan, item_of
from celery_impl.sidekiq.beat.timetable import COUNT_MAX, Calendar, Grid, TimetableError, timetable
from celery_impl.sidekiq.redis.server_clock import ServerClock

MOMENTS = st.floats(1.6e9, 1.9e9)
INTERVALS = st.sampled_from([0.05, 0.1, 0.3, 1.0, 7.0, 60.0, 3600.0]) | st.floats(0.01, 1e5)


def epoch(*date: int) -> float:
    return datetime(*date, tzinfo=UTC).timestamp()  # type: ignore[arg-type, misc] # year, month, day and so on


def cron(zone: str = "UTC", **fields: Any) -> Calendar:
    app = Celery("cron", set_as_current=False)
    app.conf.update(timezone=zone)
    return Calendar(crontab(app=app, **fields))


@given(INTERVALS, MOMENTS)
def test_the_last_tick_of_a_grid_is_not_later_than_now_and_the_next_one_is(
    interval: float, now: float
) -> None:
    grid = Grid(interval)
    k = grid.last(now)
    assert grid.at(k) <= now < grid.at(k + 1)
    assert grid.after(now) == grid.at(k + 1)


def test_a_division_that_rounds_up_does_not_make_a_tick_due_early() -> None:
    interval = 1.1
    now = math.nextafter(232461 * interval, 0)
    assert math.floor(now / interval) == 232461
    assert Grid(interval).last(now) == 232460


@given(INTERVALS, st.integers(1, 10**9))
def test_a_tick_belongs_to_itself_and_two_beats_name_it_by_the_same_number(interval: float, k: int) -> None:
    grid, other = Grid(interval), Grid(interval)
    assert grid.last(grid.at(k)) == k
    assert grid.after(grid.at(k - 1)) == other.at(k)


@given(INTERVALS, MOMENTS, st.floats(0, 5e3), st.floats(0, 5e3))
def test_ticks_are_counted_alike_in_one_look_and_in_two(
    interval: float, since: float, one: float, two: float
) -> None:
    grid = Grid(interval)
    middle, now = since + one, since + one + two
    first, rest = grid.span(since, middle), grid.span(middle, now)
    whole = grid.span(since, now)
    assert whole.ticks == first.ticks + rest.ticks
    assert whole.last == (rest.last if rest.last is not None else first.last)


@pytest.mark.parametrize("interval", [0.0, -1.0, math.inf, math.nan])
def test_an_interval_that_is_none_is_refused(interval: float) -> None:
    with pytest.raises(TimetableError, match="more than 0"):
        Grid(interval)


def test_a_crontab_is_a_calendar_and_an_interval_a_grid() -> None:
    assert timetable(schedule(timedelta(minutes=5))) == Grid(300.0)
    assert isinstance(timetable(crontab()), Calendar)


def test_a_calendar_names_each_of_its_moments_once() -> None:
    quarter = cron(minute="*/15")
    moment, found = epoch(2026, 3, 1, 9, 50), []
    for _ in range(4):
        moment = quarter.after(moment)
        found.append(moment)
    start = epoch(2026, 3, 1, 10)
    assert found == [start + 900 * k for k in range(4)]
    assert quarter.span(found[0], found[3]) == (found[3], 3)
    assert quarter.span(found[3], found[3] + 899) == (None, 0)


def test_asking_a_calendar_leaves_the_schedule_of_the_app_alone() -> None:
    own: Any = crontab()
    before = own.nowfun
    Calendar(own).after(epoch(2026, 1, 1))
    assert own.nowfun is before


@pytest.mark.parametrize("hours", [(2025, 10, 25, 12), (2026, 3, 28, 12)])
@pytest.mark.parametrize("fields", [{"minute": "*/7"}, {"minute": 30, "hour": 2}, {"minute": 0}])
def test_a_calendar_goes_forward_where_the_clocks_change(hours: Any, fields: dict[str, Any]) -> None:
    calendar, moment = cron("Europe/Berlin", **fields), epoch(*hours)
    for _ in range(300):
        later = calendar.after(moment)
        assert later > moment
        moment = later
    assert moment - epoch(*hours) >= 300 * 7 * 60 * 0.9


def test_a_long_silence_of_a_calendar_is_counted_up_to_a_limit_and_ends_at_its_last_tick() -> None:
    minutely, since = cron(), epoch(2026, 1, 1)
    now = since + 60 * (COUNT_MAX + 500) + 30
    assert minutely.span(since, now) == (now - 30, COUNT_MAX)
    yearly = cron(minute=0, hour=0, day_of_month=1, month_of_year=1)
    assert yearly.span(epoch(2026, 1, 1), epoch(2029, 6, 1)) == (epoch(2029, 1, 1), 3)


def test_a_schedule_that_knows_no_moment_ahead_is_refused() -> None:
    broken: Any = SimpleNamespace(remaining_estimate=lambda _last: timedelta(0))
    with pytest.raises(TimetableError, match="knows no moment after"):
        Calendar(broken).after(0.0)


@pytest.mark.parametrize(
    ("policy", "since", "now", "expected"),
    [
        (Policy(), 0.0, 9.9, None),
        (Policy(), 0.0, 10.0, Tick(10.0, runs=True, misfires=0)),
        (Policy(), 0.0, 35.0, Tick(30.0, runs=True, misfires=2)),
        (Policy(grace_s=5.0), 0.0, 35.0, Tick(30.0, runs=True, misfires=2)),
        (Policy(grace_s=4.9), 0.0, 35.0, Tick(30.0, runs=False, misfires=3)),
        (Policy(grace_s=4.9, misfire="coalesce"), 0.0, 35.0, Tick(30.0, runs=True, misfires=2)),
    ],
)
def test_misfires_are_dropped_or_made_one_run_and_counted_either_way(
    policy: Policy, since: float, now: float, expected: Tick | None
) -> None:
    assert due_tick(Grid(10.0), policy, since=since, now=now) == expected


@given(INTERVALS, MOMENTS, st.lists(st.floats(0, 1e4), max_size=12), st.floats(0, 100))
def test_every_tick_is_either_run_or_a_misfire_whenever_somebody_looks(
    interval: float, start: float, waits: list[float], grace: float
) -> None:
    grid, policy = Grid(interval), Policy(grace_s=grace)
    since = now = start
    runs = misfires = 0
    for wait in waits:
        now += wait
        if tick := due_tick(grid, policy, since=since, now=now):
            since, runs, misfires = tick.due, runs + tick.runs, misfires + tick.misfires
    assert runs + misfires == grid.span(start, now).ticks


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"overlap": "queue"}, "overlap is 'queue': expected one of skip, allow"),
        ({"misfire": "catch_up"}, "misfire is 'catch_up': expected one of skip, coalesce"),
        ({"grace_s": -1}, "grace_s is -1"),
        ({"countdown": 5}, "countdown is set"),
        ({"eta": "2026-01-01"}, "eta is set"),
        ({"expires": None}, "expires is None with overlap 'skip'"),
    ],
)
def test_options_that_make_no_sense_are_refused_by_name(options: dict[str, Any], text: str) -> None:
    with pytest.raises(PolicyError, match=text):
        Policy.of(options)
    with pytest.raises(ImproperlyConfigured, match=rf"beat_schedule\['sync'\]: {text}"):
        item(10.0, options)


def item(when: Any, options: dict[str, Any] | None = None, **known: Any) -> Item:
    app = Celery("items", set_as_current=False)
    return item_of(ScheduleEntry("sync", "tasks.sync", schedule=when, options=options, app=app), **known)


def test_the_deadline_of_celerys_settings_is_the_grace_of_a_crontab_that_says_none() -> None:
    assert item(crontab(), cron_deadline_s=60).policy.grace_s == 60
    assert item(crontab(), {"grace_s": 5}, cron_deadline_s=60).policy.grace_s == 5
    assert item(10.0, cron_deadline_s=60).policy.grace_s == math.inf


def test_an_entry_is_told_in_the_same_words_by_every_beat() -> None:
    class Tides(schedule):  # type: ignore[misc, no-any-unimported, unused-ignore] # untyped in some releases
        __repr__ = object.__repr__

    assert item(0.1).schedule == "every 0.1 s"
    assert item(crontab(minute=5)).schedule == "crontab: 5 * * * * (m/h/dM/MY/d)"
    assert " at 0x" not in item(Tides(1.0)).schedule


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 7.0),
        ({"expires": 20}, 20.0),
        ({"expires": None}, None),
        ({"expires": datetime(2026, 1, 1, 0, 0, 30, tzinfo=UTC)}, 30.0),
        ({"expires": datetime(2026, 1, 1, 0, 0, 30)}, 30.0),  # noqa: DTZ001 - Celery takes it as UTC
        ({"expires": "2026-01-01T00:00:30+00:00"}, 30.0),
    ],
)
def test_a_run_expires_at_the_next_tick_unless_the_entry_says_when(
    options: dict[str, Any], expected: float | None
) -> None:
    assert expires_s(options, until_next_s=7.0, wall=epoch(2026, 1, 1)) == expected


class Monotonic:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_clock_is_the_brokers_whatever_this_machines_says() -> None:
    here = Monotonic()
    clock = ServerClock(here)
    with pytest.raises(RuntimeError):
        clock.now()
    clock.observe(5000.0, sent=100.0)
    here.now += 7
    assert clock.now() == 5007.0


@given(
    st.lists(st.tuples(st.floats(0, 5), st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20),
    st.floats(1e9, 2e9),
)
def test_slow_answers_leave_the_clock_right_to_within_the_fastest_of_them(
    answers: list[tuple[float, float, float]], ahead: float
) -> None:
    here = Monotonic()
    clock, fastest = ServerClock(here), math.inf
    for wait, there, back in answers:
        here.now += wait
        sent = here.now
        here.now += there + back
        clock.observe(sent + there + ahead, sent=sent)
        fastest = min(fastest, there + back)
    assert abs(clock.now() - (here.now + ahead)) <= fastest + 1e-6


def test_the_clock_follows_a_step_of_the_brokers() -> None:
    here = Monotonic()
    clock = ServerClock(here)
    for server in (5000.0, 9000.0):
        clock.observe(server, sent=here.now - 0.25)
    assert clock.now() == 9000.0


class FakeLease:
    ttl_s = 6.0

    def __init__(self, *answers: LeaseState | Exception) -> None:
        self.answers = list(answers)

    def hold(self) -> LeaseState:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_a_holder_asks_again_in_a_third_of_the_lease_and_another_when_it_would_be_over() -> None:
    here = Monotonic()
    lease = FakeLease(
        LeaseState("taken", 6.0, 0.0), LeaseState("kept", 6.0, 2.0), LeaseState("other", 0.4, 4.0)
    )
    leased = LeaseClient(lease, monotonic=here)
    assert (leased.turn(), leased.is_holder, leased.wait_s()) == (True, True, 2.0)
    here.now += 1.5
    assert (leased.turn(), leased.wait_s()) == (False, 0.5)
    here.now += 0.5
    assert (leased.turn(), leased.is_holder) == (False, True)
    here.now += 2.0
    assert (leased.turn(), leased.is_holder) == (False, False)
    assert leased.wait_s() == pytest.approx(0.4)


def test_a_beat_that_lost_the_lease_or_the_broker_asks_at_once() -> None:
    here = Monotonic()
    lease = FakeLease(LeaseState("taken", 6.0, 0.0), OSError("gone"), LeaseState("taken", 6.0, 9.0))
    leased = LeaseClient(lease, monotonic=here)
    leased.turn()
    leased.lost()
    assert (leased.is_holder, leased.wait_s()) == (False, 0.0)
    with pytest.raises(OSError, match="gone"):
        leased.turn()
    assert leased.turn()


def test_the_pauses_double_up_to_a_bound_and_begin_anew_once_the_broker_answers() -> None:
    backoff = Backoff()
    pauses = [backoff.pause_s() for _ in range(8)]
    assert pauses[:3] == [0.25, 0.5, 1.0]
    assert set(pauses[5:]) == {BACKOFF_MAX_S}
    backoff.over()
    assert backoff.pause_s() == 0.25


@pytest.mark.parametrize("ttl_s", [0.0, 0.9, -1.0, math.nan])
def test_a_lease_too_short_to_be_renewed_in_is_refused(ttl_s: float) -> None:
    with pytest.raises(ValueError, match="sidekiq_beat_lease_s"):
        check_ttl(ttl_s)


def items(**intervals: float) -> list[Item]:
    return [
        Item(name=name, task="t", schedule="", timetable=Grid(every), policy=Policy(), options={})
        for name, every in intervals.items()
    ]


def test_entries_are_served_in_the_order_in_which_they_are_due() -> None:
    plan = Plan(items(slow=7.0, fast=3.0), {}, now=0.5)
    served = []
    for now in range(1, 15):
        while found := plan.due(float(now)):
            plan.advance(*found)
            served.append((found[0].name, found[1].due))
    assert served == [
        ("fast", 3.0), ("fast", 6.0), ("slow", 7.0), ("fast", 9.0), ("fast", 12.0), ("slow", 14.0)
    ]  # fmt: skip


def test_a_successor_goes_on_after_the_last_tick_of_its_predecessor() -> None:
    plan = Plan(items(a=10.0, new=10.0), {"a": 20.0}, now=45.0)
    assert plan.wait_s(45.0) == 0.0
    found = plan.due(45.0)
    assert found is not None
    assert (found[0].name, found[1], found[2]) == ("a", Tick(40.0, runs=True, misfires=1), 50.0)
    plan.advance(*found)
    assert (plan.due(45.0), plan.wait_s(45.0)) == (None, 5.0)
    assert Plan([], {}, now=0.0).wait_s(0.0) is None
