from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_impl.sidekiq.jobs.retry_schedule import Schedule, ScheduleError

WITHOUT_JITTER = [15, 16, 31, 96, 271, 640, 1311, 2416, 4111, 6576]


@pytest.mark.parametrize(("retry", "seconds"), list(enumerate(WITHOUT_JITTER)))
def test_the_base_is_the_fourth_power_and_fifteen(retry: int, seconds: int) -> None:
    assert Schedule().delay_s(retry, below=lambda _: 0) == seconds


@given(retry=st.integers(0, 24), scale=st.floats(0.001, 10))
def test_the_jitter_stays_below_ten_seconds_for_each_retry(retry: int, scale: float) -> None:
    base = retry**4 + 15
    low, high = scale * base, scale * (base + 10 * (retry + 1) - 1)
    assert low * 0.999 <= Schedule(scale=scale).delay_s(retry) <= high * 1.001


def test_twenty_five_retries_take_about_twenty_days() -> None:
    schedule = Schedule()
    seconds = sum(schedule.delay_s(retry, below=lambda n: n // 2) for retry in range(schedule.limit))
    assert schedule.limit == 25
    assert seconds / 86400 == pytest.approx(20.4, abs=0.1)


def test_the_environment_scales_and_limits_the_schedule() -> None:
    schedule = Schedule.from_env({"SIDEKIQ_RETRY_SCALE": "0.01", "SIDEKIQ_RETRY_LIMIT": "3"})
    assert schedule == Schedule(limit=3, scale=0.01)


@pytest.mark.parametrize("text", ["soon", "-1", "inf", "nan"])
@pytest.mark.parametrize("name", ["SIDEKIQ_RETRY_SCALE", "SIDEKIQ_RETRY_LIMIT"])
def test_a_variable_that_is_no_number_from_zero_is_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(ScheduleError, match=name):
        Schedule.from_env({name: text})
