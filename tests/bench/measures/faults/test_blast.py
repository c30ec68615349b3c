from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.measures.faults.blast import HARMS, blast
from scenarios.jobs import WELCOME_EMAIL

MS = 1_000_000
Events = list[dict[str, Any]]


def mails(count: int, response_ms: float | None = 20, *, refused: int = 0) -> Events:
    made: Events = []
    for number in range(count):
        fields = {"scenario": WELCOME_EMAIL, "job": f"u{number}/email"}
        made.append({"t": number, "event": "submit", **fields})
        made.append({"t": number + 1, "event": "refused" if number < refused else "accepted", **fields})
        if response_ms is not None and number >= refused:
            made.append({"t": number + round(response_ms * MS), "event": "effect", **fields})
    return made


def seen(struck: Events, control: Events, **lags: float) -> Any:
    return blast(struck, control, scenario=WELCOME_EMAIL, deadline_ms=1_000, **lags)


def test_a_fault_that_reaches_nobody_else_has_no_radius() -> None:
    found = seen(mails(30), mails(20), struck_lag_ms=4, control_lag_ms=4)
    assert set(found.harms.values()) == {0.0}
    assert (found.unserved, found.response_p50_ms, found.lag_ms) == (0, 0, 0)


@given(st.integers(1, 50), st.integers(0, 50), st.integers(1, 50))
def test_every_bystander_lost_to_the_fault_is_counted(kept: int, lost: int, control: int) -> None:
    gone = [{**event, "job": f"gone-{event['job']}"} for event in mails(lost, None)]
    found = seen(mails(kept) + gone, mails(control))
    assert found.harms["lost"] == pytest.approx(lost / (kept + lost))
    assert sum(found.harms[name] for name in HARMS if name != "lost") == 0


def test_later_refused_and_laggier_bystanders_show() -> None:
    found = seen(mails(20, 1_500, refused=5), mails(20), struck_lag_ms=2_004.0, control_lag_ms=4.0)
    assert found.harms["late"] == pytest.approx(0.75)
    assert (found.unserved, found.lag_ms) == (0.25, 2_000)
    assert found.response_p50_ms > 1_400


def test_a_median_that_was_never_done_is_infinitely_late_unless_the_control_was_so_too() -> None:
    assert seen(mails(5, None), mails(5)).response_p50_ms == math.inf
    assert math.isnan(seen(mails(5, None), mails(5, None)).response_p50_ms)


def test_a_bystander_without_jobs_is_a_clear_error() -> None:
    with pytest.raises(ValueError, match="welcome_email had no jobs in the control"):
        seen(mails(1), [])
