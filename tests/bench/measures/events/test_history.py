"""What a job's history says of the answers that its client got."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bench.measures.events.history import histories
from scenarios import jobs


@pytest.mark.parametrize(
    ("status", "is_yes"), [(200, True), (302, True), (399, True), (400, False), (503, False)]
)
def test_a_status_from_400_on_tells_the_client_no(
    email: Callable[..., list[dict[str, Any]]], status: int, *, is_yes: bool
) -> None:
    [job] = histories(email("u", status=status, due=0, request=1, response=2)).values()
    assert job.answered_yes is is_yes


def test_one_success_among_several_answers_is_a_yes(email: Callable[..., list[dict[str, Any]]]) -> None:
    events = email("u", status=503, response=1) + email("u", status=201, response=2)
    assert histories(events)[jobs.email("u")].answered_yes


def test_a_job_that_no_plan_knows_is_due_at_its_first_submit(
    email: Callable[..., list[dict[str, Any]]],
) -> None:
    unplanned, planned = email("u", submit=5, submit2=9), email("v", due=1, submit=5)
    found = histories(unplanned + planned)
    assert (found[jobs.email("u")].due, found[jobs.email("v")].due) == (5_000_000, 1_000_000)
