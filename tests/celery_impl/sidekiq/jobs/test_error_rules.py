from __future__ import annotations

from typing import Any

import pytest
from celery import Celery

from celery_impl.sidekiq import DISCARD, KILL, Schedule, Sidekiq, VerdictError
from celery_impl.sidekiq.jobs.error_rules import check_rule, verdict


def test_the_most_specific_class_counts() -> None:
    rule: dict[type[BaseException], Any] = {Exception: 5, LookupError: KILL, KeyError: DISCARD}
    assert [verdict(error, 0, rule) for error in (KeyError(), IndexError(), ValueError())] == [
        DISCARD,
        KILL,
        5,
    ]


def test_the_first_rule_that_answers_counts() -> None:
    def only_first(retry: int, _error: BaseException) -> float | None:
        return 7.0 if retry == 0 else None

    assert verdict(ValueError(), 0, None, only_first, {ValueError: KILL}) == 7.0
    assert verdict(ValueError(), 1, None, only_first, {ValueError: KILL}) == KILL
    assert verdict(KeyError(), 1, None, only_first, {ValueError: KILL}) is None


@pytest.mark.parametrize("answer", ["bury", -1, float("nan"), float("inf"), True, object()])
def test_a_function_with_a_bad_answer_leaves_it_to_the_next_rule(
    answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert verdict(ValueError(), 0, lambda *_: answer, {ValueError: 3}) == 3
    assert "expected 'kill', 'discard' or a number of seconds" in caplog.text


def test_a_function_that_raises_leaves_it_to_the_schedule(caplog: pytest.LogCaptureFixture) -> None:
    def broken(_retry: int, _error: BaseException) -> float:
        raise RuntimeError("broken rule")

    assert verdict(ValueError(), 0, broken) is None
    assert "broken rule" in caplog.text


@pytest.mark.parametrize(
    "rule", [7, "kill", {"ValueError": 1}, {ValueError: "bury"}, {ValueError: -1}, {int: 1}]
)
def test_a_bad_rule_is_refused_by_name(rule: Any) -> None:
    with pytest.raises(VerdictError, match=r"^my_rule"):
        check_rule(rule, "my_rule")


def test_a_bad_rule_of_a_task_or_an_app_is_refused_as_soon_as_it_is_made() -> None:
    with pytest.raises(VerdictError, match="errors"):
        Sidekiq(Celery(broker="redis://"), errors={ValueError: "bury"})  # type: ignore[dict-item] # bad on purpose
    app = Celery(broker="redis://", set_as_current=False)
    Sidekiq(app)

    def bad() -> None: ...

    with pytest.raises(VerdictError, match="sidekiq_retry_in of bad"):
        app.task(name="bad", lazy=False, shared=False, sidekiq_retry_in={ValueError: "bury"})(bad)


def test_a_wait_of_ones_own_has_jitter_and_scale_too() -> None:
    schedule = Schedule(scale=0.5)
    assert schedule.after_s(60, 2, below=lambda n: n - 1) == 0.5 * (60 + 29)
