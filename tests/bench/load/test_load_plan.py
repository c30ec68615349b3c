from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.load.load_plan import MAX_RATE, LoadPlan, PlanError, make_load_plan, owner_names
from scenarios import jobs, users

RATES = {jobs.ACCOUNT_SETUP: 14.0, jobs.WELCOME_EMAIL: 14.0}


def plan(**options: Any) -> LoadPlan:
    return make_load_plan(
        **{"seed": 1, "prefix": "b003", "rates": RATES, "seconds": 5, "owners": 2, **options}
    )


def test_the_same_seed_gives_the_same_plan_byte_for_byte() -> None:
    assert plan().to_json() == plan().to_json()
    assert plan().to_json() != plan(seed=2).to_json()


def test_a_plan_survives_its_json() -> None:
    assert LoadPlan.from_json(plan().to_json()) == plan()


def test_two_blocks_of_a_seed_differ_in_ids_alone() -> None:
    one, other = plan(), plan(prefix="b004")
    assert [a.due_ns for a in one.arrivals] == [a.due_ns for a in other.arrivals]
    assert [a.params["address"] for a in one.arrivals] == [a.params["address"] for a in other.arrivals]
    assert not {a.request for a in one.arrivals} & {a.request for a in other.arrivals}


def test_dropping_a_scenario_moves_no_request_of_the_other() -> None:
    alone = plan(rates={jobs.WELCOME_EMAIL: 14.0})
    both = [a.due_ns for a in plan().arrivals if a.scenario == jobs.WELCOME_EMAIL]
    assert [a.due_ns for a in alone.arrivals] == both


@settings(max_examples=30)
@given(seed=st.integers(), rate=st.floats(0.1, MAX_RATE / 2), seconds=st.floats(0.1, 4))
def test_every_arrival_lies_in_the_window_in_order_and_is_a_valid_new_user(
    seed: int, rate: float, seconds: float
) -> None:
    arrivals = plan(seed=seed, rates=dict.fromkeys(RATES, rate), seconds=seconds).arrivals
    dues = [arrival.due_ns for arrival in arrivals]
    assert dues == sorted(dues)
    assert all(0 <= due < seconds * 1e9 for due in dues)
    found = [users.validate(arrival.params) for arrival in arrivals]
    assert len({user.email for user in found}) == len({user.id for user in found}) == len(arrivals)


def test_the_gaps_are_those_of_a_poisson_process() -> None:
    dues = [a.due_ns / 1e9 for a in plan(rates={jobs.ACCOUNT_SETUP: 50.0}, seconds=600).arrivals]
    gaps = [later - earlier for earlier, later in itertools.pairwise(dues)]
    mean = sum(gaps) / len(gaps)
    variance = sum((gap - mean) ** 2 for gap in gaps) / len(gaps)
    assert mean == pytest.approx(1 / 50, rel=0.03)
    assert variance**0.5 == pytest.approx(mean, rel=0.05)


def test_owners_are_named_after_the_block() -> None:
    assert plan().owners == owner_names("b003", 2) == ("b003-owner-00", "b003-owner-01")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"rates": {jobs.ACCOUNT_SETUP: 0}}, "expected above 0"),
        ({"rates": {jobs.ACCOUNT_SETUP: -1}}, "expected above 0"),
        ({"rates": {jobs.ACCOUNT_SETUP: float("nan")}}, "expected above 0"),
        ({"rates": {jobs.ACCOUNT_SETUP: MAX_RATE + 1}}, "at most"),
        ({"rates": dict.fromkeys(RATES, MAX_RATE)}, "add up to"),
        ({"rates": {"lunch": 1}}, "'lunch'"),
        ({"rates": {}, "owners": 0}, "empty"),
        ({"seconds": 0}, "window"),
        ({"seconds": float("inf")}, "window"),
        ({"owners": -1}, "owners"),
        ({"prefix": "a b"}, "prefix"),
        ({"prefix": "x" * 60}, "prefix"),
    ],
)
def test_a_plan_that_cannot_be_offered_says_which_figure(options: dict[str, Any], text: str) -> None:
    with pytest.raises(PlanError, match=text):
        plan(**options)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"arrivals": [{}]}', '{"arrivals": [], "owners": []}'])
def test_a_file_that_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(PlanError, match="not a plan"):
        LoadPlan.from_json(text)


def test_a_file_that_asks_for_more_than_one_generator_offers_is_refused() -> None:
    steep = json.loads(plan().to_json()) | {"rates": {jobs.WELCOME_EMAIL: 9999.0}}
    with pytest.raises(PlanError, match=f"the rate of {jobs.WELCOME_EMAIL} is 9999"):
        LoadPlan.from_json(json.dumps(steep))
