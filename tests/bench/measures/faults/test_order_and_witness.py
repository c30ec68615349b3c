"""Inversions and shortest histories: whatever is planted into whatever ledger is found and shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.measures.faults.failure import judge
from bench.measures.faults.witness import FINDINGS, example, witness
from scenarios import jobs
from scenarios.jobs import ACCOUNT_SETUP, WELCOME_EMAIL
from tests.bench.measures.random_ledgers import Events, ledgers

DEADLINE_MS = 1_000


def judged(events: Sequence[Mapping[str, Any]], **options: Any) -> Any:
    return judge(events, scenario=WELCOME_EMAIL, deadline_ms=DEADLINE_MS, **options)


def job(name: str, key: str = "", **times: int) -> Events:
    """One job: event name → time in ns; effect2 is a second effect."""
    fields = {"scenario": WELCOME_EMAIL, "job": name} | ({"key": key} if key else {})
    return [{"t": at, "event": kind.rstrip("0123456789"), **fields} for kind, at in times.items()]


PLANTED = {
    ("lost", "loss/email"): job("loss/email", submit=1, accepted=2, start=3),
    ("duplicated", "double/email"): job(
        "double/email", submit=1, accepted=2, start=3, effect=4, effect2=9, done=10
    ),
    ("ghost", "ghost/email"): job("ghost/email", submit=1, refused=2, start=3, effect=4, done=5),
    ("unexpected", "nobody/email"): job("nobody/email", start=3, effect=4, done=5),
    ("out_of_order", "second/email"): job("first/email", key="same", submit=1, accepted=2, start=3, effect=20)
    + job("second/email", key="same", submit=5, accepted=6, start=7, effect=8),
}
SHORTEST = {
    "lost": ["submit", "accepted"],
    "duplicated": ["submit", "accepted", "effect", "effect"],
    "ghost": ["submit", "effect"],
    "unexpected": ["effect"],
    "out_of_order": ["submit", "accepted", "submit", "accepted", "effect", "effect"],
}


@given(ledgers, st.permutations(list(PLANTED)))
def test_whatever_is_planted_is_found_and_shown_by_its_shortest_history(
    events: Events, order: list[tuple[str, str]]
) -> None:
    whole = events + [event for finding in order for event in PLANTED[finding]]
    found = judged(whole)
    for (finding, name), planted in PLANTED.items():
        assert name in (found.classes | found.flags)[finding]
        shown = witness(whole, finding, name, deadline_ms=DEADLINE_MS)
        assert [event["event"] for event in shown] == SHORTEST[finding]
        assert all(event in planted for event in shown)


@given(ledgers)
def test_from_a_shortest_history_nothing_can_be_left_out(events: Events) -> None:
    found = judged(events)
    for finding in FINDINGS:
        for name in (found.classes | found.flags)[finding]:
            shown = witness(events, finding, name, deadline_ms=DEADLINE_MS)
            assert [e["t"] for e in shown] == sorted(e["t"] for e in shown)
            for index in range(len(shown)):
                fewer = judged(shown[:index] + shown[index + 1 :])
                assert name not in (fewer.classes | fewer.flags)[finding]


@given(ledgers)
def test_jobs_of_different_users_may_overtake_each_other(events: Events) -> None:
    assert judged(events).flags["out_of_order"] == ()


@given(st.permutations(range(6)))
def test_jobs_of_one_key_are_out_of_order_where_one_before_them_came_later(order: list[int]) -> None:
    events = [
        e
        for number, place in enumerate(order)
        for e in job(f"{number}/email", "same", submit=number, accepted=number, effect=100 + place)
    ]
    overtakers = {f"{i}/email" for i in range(6) if any(order[j] > order[i] for j in range(i))}
    assert set(judged(events).flags["out_of_order"]) == overtakers


def test_the_two_jobs_of_one_account_have_no_order() -> None:
    fields = {"scenario": ACCOUNT_SETUP}
    events = [
        {"t": at, "event": kind, "job": name, **fields}
        for name, effect in ((jobs.crm("u"), 9), (jobs.fulfillment("u"), 5))
        for kind, at in (("submit", 1), ("accepted", 2), ("effect", effect))
    ]
    found = judge(events, scenario=ACCOUNT_SETUP, deadline_ms=DEADLINE_MS)
    assert found.flags["out_of_order"] == ()


def test_a_job_without_an_effect_was_overtaken_by_nobody() -> None:
    events = job("a/email", "k", submit=1, accepted=2) + job("b/email", "k", submit=3, accepted=4, effect=5)
    assert judged(events).flags["out_of_order"] == ()
    assert judged(events).classes["lost"] == ("a/email",)


def test_what_was_not_found_has_no_history() -> None:
    events = PLANTED["lost", "loss/email"]
    with pytest.raises(ValueError, match="was not found to be duplicated"):
        witness(events, "duplicated", "loss/email", deadline_ms=DEADLINE_MS)
    with pytest.raises(ValueError, match="no finding is called 'lots': choose from done_once"):
        witness(events, "lots", "loss/email", deadline_ms=DEADLINE_MS)


@given(st.sampled_from(["lost", "duplicated", "ghost"]), st.integers(0, 8))
def test_a_planted_finding_is_the_example_with_its_shortest_history(finding: str, fine: int) -> None:
    kinds: dict[str, tuple[str, ...]] = {
        "lost": ("submit", "accepted"),
        "duplicated": ("submit", "accepted", "effect", "effect"),
        "ghost": ("submit", "refused", "effect"),
    }
    jobs: dict[str, tuple[str, ...]] = {
        f"u{number}/email": ("submit", "accepted", "effect") for number in range(fine)
    }
    jobs |= {"bad/email": kinds[finding]}
    events = [
        {"t": at * 1_000_000, "event": kind, "scenario": WELCOME_EMAIL, "job": job}
        for job, own in jobs.items()
        for at, kind in enumerate(own)
    ]
    told = example(events, WELCOME_EMAIL, deadline_ms=5_000)
    assert told.startswith(f"{finding} bad/email: ")
    assert told.count(" ms") <= len(kinds[finding])
    assert example([e for e in events if e["job"] != "bad/email"], WELCOME_EMAIL, deadline_ms=5_000) == ""
