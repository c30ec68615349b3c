from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.measures.faults.failure import CLASSES, judge, upper_bound
from scenarios.jobs import WELCOME_EMAIL
from tests.bench.measures.random_ledgers import Events, ledgers

MS = 1_000_000
Email = Callable[..., Events]


def judged(events: Events, **options: Any) -> Any:
    return judge(events, scenario=WELCOME_EMAIL, deadline_ms=1_000, **options)


def accepted_job(user: str, at: int = 0, effects: int = 1) -> Events:
    job = {"scenario": WELCOME_EMAIL, "job": f"{user}/email"}
    made = [{"t": at, "event": "submit", **job}, {"t": at + 1, "event": "accepted", **job}]
    return made + [{"t": at + 10 + k, "event": "effect", **job} for k in range(effects)]


@given(ledgers)
def test_every_accepted_job_is_in_exactly_one_class(events: Events) -> None:
    found = judged(events)
    classes = [job for jobs in found.classes.values() for job in jobs]
    assert sorted(classes) == sorted(found.acceptance["accepted"])
    assert found.sum_ok
    assert set(found.classes) == set(CLASSES)


@given(ledgers)
def test_every_job_asked_for_is_accepted_refused_or_unknown(events: Events) -> None:
    found = judged(events)
    asked = {e.get("job", f"{e.get('request')}/email") for e in events if e["event"] in {"submit", "request"}}
    assert found.submitted == len(asked)
    assert {job for jobs in found.acceptance.values() for job in jobs} == asked


def ended(user: str, event: str, where: str = "") -> Events:
    """An accepted job without an effect, and what was the last of it."""
    last = {"t": 20, "event": event, "where": where, "scenario": WELCOME_EMAIL, "job": f"{user}/email"}
    return [*accepted_job(user, effects=0), last]


@given(ledgers, st.permutations(range(7)))
def test_a_planted_loss_double_and_ghost_are_always_found_and_named(events: Events, order: list[int]) -> None:
    ghost = [e for e in accepted_job("ghost") if e["event"] != "accepted"]
    planted = [accepted_job("loss", effects=0), accepted_job("double", effects=2), ghost]
    planted += [ended("cut", "cancelled"), ended("failed", "failed")]
    planted += [ended("waiting", "held", "queue"), ended("buried", "held", "dead set")]
    found = judged(events + [e for index in order for e in planted[index]])
    assert {"loss/email", "cut/email"} <= set(found.classes["lost"])
    assert {"failed/email", "buried/email"} <= set(found.classes["failed_visibly"])
    assert "waiting/email" in found.classes["stuck"]
    assert "cut/email" in found.flags["cancelled"]
    assert ("waiting/email" in found.still_held, "buried/email" in found.still_held) == (True, False)
    assert "double/email" in found.classes["duplicated"]
    assert "ghost/email" in found.flags["ghost"]
    assert (found.at_least_once, found.at_most_once) == ("broken", "broken")


@given(ledgers)
def test_the_order_of_the_lines_changes_no_verdict(events: Events) -> None:
    distinct = [{**e, "t": index} for index, e in enumerate(events)]
    assert judged(distinct).classes.keys() == judged(distinct[::-1]).classes.keys()
    for name, members in judged(distinct).classes.items():
        assert sorted(members) == sorted(judged(distinct[::-1]).classes[name])


@given(ledgers, st.booleans())
def test_a_verdict_of_held_rests_on_everything_and_broken_on_what_was_seen(
    events: Events,
    complete: bool,  # noqa: FBT001 - hypothesis draws it
) -> None:
    found = judged(events, complete=complete)
    classes, sure = found.classes, complete and bool(found.acceptance["accepted"])
    if found.at_least_once == "held":
        assert sure
        assert not classes["lost"]
        assert not classes["stuck"]
    if found.at_most_once == "held":
        assert sure
    assert (found.at_least_once == "broken") == bool(classes["lost"] and complete)
    assert (found.at_most_once == "broken") == bool(classes["duplicated"])


def test_every_7th_dropped_and_every_11th_doubled_is_reported_exactly() -> None:
    count = 300
    events = [
        e
        for number in range(1, count + 1)
        for e in accepted_job(f"u{number}", effects=0 if number % 7 == 0 else 2 if number % 11 == 0 else 1)
    ]
    found = judged(events)
    assert found.classes["lost"] == tuple(f"u{n}/email" for n in range(7, count + 1, 7))
    assert found.classes["duplicated"] == tuple(f"u{n}/email" for n in range(11, count + 1, 11) if n % 7)
    assert len(found.classes["done_once"]) == count - 42 - 24


@pytest.mark.parametrize(
    ("times", "name"),
    [
        ({"effect": 9}, "done_once"),
        ({"effect": 9, "effect2": 10}, "duplicated"),
        ({"failed": 9}, "failed_visibly"),
        ({"failed": 9, "effect": 10}, "done_once"),
        ({"held": 9}, "stuck"),
        ({"failed": 8, "held": 9}, "failed_visibly"),
        ({"cancelled": 9}, "lost"),
    ],
)
def test_what_happened_decides_the_class(email: Email, times: dict[str, float], name: str) -> None:
    found = judged(email("u", due=0, request=1, submit=2, accepted=3, response=4, **times))
    assert found.classes[name] == ("u/email",)


@pytest.mark.parametrize(
    ("status", "times", "name"),
    [
        (201, {"accepted": 3, "response": 4}, "accepted"),
        (201, {"accepted": 3, "unknown": 4}, "unknown"),
        (201, {"accepted": 3}, "unknown"),
        (201, {}, "unknown"),
        (503, {"refused": 3, "response": 4}, "refused"),
        (503, {"accepted": 3, "response": 4}, "refused"),
        (201, {"refused": 3, "response": 4}, "refused"),
    ],
)
def test_acceptance_is_what_the_client_knows(
    email: Email, status: int, times: dict[str, float], name: str
) -> None:
    found = judged(email("u", status=status, due=0, request=1, submit=2, effect=9, **times))
    assert found.acceptance[name] == ("u/email",)
    assert found.flags["ghost"] == (() if name == "accepted" else ("u/email",))


def test_a_job_in_the_dead_set_failed_visibly(email: Email) -> None:
    events = email("u", submit=2, accepted=3, held=9)
    events[-1]["where"] = "dead set"
    assert judged(events).classes["failed_visibly"] == ("u/email",)


def test_an_effect_that_nobody_submitted_is_unexpected(email: Email) -> None:
    found = judged(email("u", effect=9))
    assert (found.flags["unexpected"], found.submitted) == (("u/email",), 0)


def test_a_job_done_after_its_deadline_is_late(email: Email) -> None:
    on_time = email("in", due=0, submit=1, accepted=2, effect=1_000)
    late = email("out", submit=1, accepted=2, effect=1_002)
    found = judged(on_time + late)
    assert found.flags["late"] == ("out/email",)


def test_without_an_accepted_job_nothing_is_known() -> None:
    assert (judged([]).at_least_once, judged([]).at_most_once) == ("unknown", "unknown")


def test_all_done_once_and_nothing_held_holds_both() -> None:
    found = judged(accepted_job("u"))
    assert (found.at_least_once, found.at_most_once) == ("held", "held")


def test_a_job_that_is_stuck_leaves_at_least_once_unknown() -> None:
    found = judged(accepted_job("a") + accepted_job("b", effects=0), held={"b/email"})
    assert (found.at_least_once, found.at_most_once) == ("unknown", "held")


def test_a_job_that_is_done_but_still_held_leaves_at_most_once_unknown() -> None:
    found = judged(accepted_job("a"), held={"a/email"})
    assert (found.at_least_once, found.at_most_once) == ("held", "unknown")


def test_an_incomplete_record_can_prove_a_double_and_no_loss() -> None:
    events = accepted_job("a", effects=0) + accepted_job("b", effects=2)
    found = judged(events, complete=False)
    assert (found.at_least_once, found.at_most_once) == ("unknown", "broken")


def test_a_call_that_was_never_answered_blocked_for_ever(email: Email) -> None:
    assert judged(email("u", submit=1, accepted=5) + email("v", submit=1, refused=8)).caller_max_ms == 7
    assert judged(email("u", submit=1)).caller_max_ms == float("inf")


def test_a_caller_sees_an_error_where_it_is_refused_or_waits_for_more_than_a_second(email: Email) -> None:
    quick = email(user="quick", submit=0, accepted=900, effect=950)
    slow = email(user="slow", submit=0, accepted=1_100, effect=1_200)
    refused = email(user="refused", submit=0, refused=5)
    assert judged(quick + slow + refused).user_errors == ("slow/email", "refused/email")


def test_zero_of_five_still_allows_45_percent() -> None:
    assert upper_bound(0, 5) == pytest.approx(0.451, abs=0.001)
    assert upper_bound(0, 300) == pytest.approx(3 / 300, rel=0.01)
    assert upper_bound(0, 0) == 1
