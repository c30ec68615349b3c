from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from bench.measures.faults.recovery import recovery
from scenarios.jobs import WELCOME_EMAIL

S = 1_000_000_000
Events = list[dict[str, Any]]
Email = Callable[..., Events]


def outage(email: Email, *, back_s: float, until_s: int = 30) -> Events:
    """Ten jobs a second, each done after 50 ms; from 10 s on none is done before `back_s`."""
    events: Events = [{"t": 10 * S, "event": "fault_on"}, {"t": 12 * S, "event": "fault_off"}]
    for number in range(until_s * 10):
        due = number * 100.0
        effect = due + 50 if due < 10_000 else max(due + 50, back_s * 1_000)
        done = {"effect": effect} if math.isfinite(effect) else {}
        events += email(f"u{number}", due=due, submit=due, accepted=due + 1, **done)
    return events


def test_recovery_is_counted_from_the_end_of_the_fault(email: Email) -> None:
    found = recovery(outage(email, back_s=15.0), WELCOME_EMAIL)
    assert found.t_first_s == pytest.approx(3.0)
    assert found.t_90_s == pytest.approx(0.0)  # the backlog comes at once, within the first 3 s
    assert found.t_clear_s == pytest.approx(3.0)


def test_a_side_that_is_back_later_reaches_its_rate_later(email: Email) -> None:
    found = recovery(outage(email, back_s=18.0), WELCOME_EMAIL)
    assert found.t_90_s == pytest.approx(3.0)
    assert found.t_clear_s == pytest.approx(6.0)


def test_a_side_that_never_comes_back_never_recovers(email: Email) -> None:
    found = recovery(outage(email, back_s=math.inf), WELCOME_EMAIL)
    assert (found.t_first_s, found.t_90_s) == (math.inf, math.inf)


def test_a_fault_that_nobody_notices_is_cleared_at_once(email: Email) -> None:
    found = recovery(outage(email, back_s=0.0), WELCOME_EMAIL)
    assert (found.t_90_s, found.t_clear_s) == (0, 0)
    assert found.t_first_s == pytest.approx(0.05)


def test_without_load_after_the_fault_the_rate_cannot_be_told(email: Email) -> None:
    assert math.isnan(recovery(outage(email, back_s=0.0, until_s=13), WELCOME_EMAIL).t_90_s)


def ten_a_second(email: Email, effects_ms: list[int], *, last_due_ms: int = 20_000) -> Events:
    """Ten jobs a second until a fault at 10 s … 12 s; then a job for each effect, and one due at the end."""
    events: Events = [{"t": 10 * S, "event": "fault_on"}, {"t": 12 * S, "event": "fault_off"}]
    due_and_done = [(number * 100, number * 100 + 50) for number in range(100)]
    due_and_done += [(at, at) for at in effects_ms] + [(last_due_ms, last_due_ms)]
    for number, (due, done) in enumerate(due_and_done):
        events += email(f"u{number}", due=due, submit=due, accepted=due, effect=done)
    return events


@pytest.mark.parametrize(("effects", "back"), [(27, 0.0), (26, math.inf)])
def test_nine_tenths_of_the_rate_is_enough_and_one_job_fewer_is_not(
    email: Email, effects: int, back: float
) -> None:
    events = ten_a_second(email, [12_100 + 100 * number for number in range(effects)])
    assert recovery(events, WELCOME_EMAIL).t_90_s == back


def test_the_three_seconds_hold_an_effect_at_their_first_moment(email: Email) -> None:
    """The first of 27 effects comes at the start of the window that ends with the last one."""
    events = ten_a_second(email, [13_000, *range(14_000, 16_001, 80)])
    assert recovery(events, WELCOME_EMAIL).t_90_s == pytest.approx(1.0)


@pytest.mark.parametrize(("last_due_ms", "t_90_s"), [(15_000, 0.0), (14_999, math.nan)])
def test_the_rate_is_known_where_load_lasts_for_three_seconds_after_the_fault(
    email: Email, last_due_ms: int, t_90_s: float
) -> None:
    events = ten_a_second(email, list(range(12_000, 14_900, 80)), last_due_ms=last_due_ms)
    assert recovery(events, WELCOME_EMAIL).t_90_s == pytest.approx(t_90_s, nan_ok=True)


def test_an_effect_at_the_end_of_the_fault_is_the_next_one(email: Email) -> None:
    assert recovery(ten_a_second(email, [12_000, 13_000]), WELCOME_EMAIL).t_first_s == 0


def test_lost_jobs_are_no_backlog_and_held_ones_are(email: Email) -> None:
    lost = email("lost", due=10_500, submit=10_500, accepted=10_501)
    events = outage(email, back_s=0.0) + lost
    assert recovery(events, WELCOME_EMAIL).t_clear_s == 0
    assert recovery(events + email("lost", held=40_000), WELCOME_EMAIL).t_clear_s == math.inf


def test_without_a_fault_there_is_nothing_to_recover_from(email: Email) -> None:
    assert math.isnan(recovery(email("u", submit=0, accepted=1, effect=2), WELCOME_EMAIL).t_clear_s)
