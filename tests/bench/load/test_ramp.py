"""The plan of a ramp and the turns of a load measure."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import pytest

from bench.blocks import registry
from bench.load import ramp
from bench.load.load_plan import MAX_PREFIX, MAX_RATE
from bench.plan import extra_blocks, sides
from bench.plan.profiles import PROFILES
from bench.stack.scenario_subject import ScenarioSubject
from scenarios.jobs import ACCOUNT_SYNC, SCENARIOS

ALL = list(sides.SIDES.values())
LOAD = partial(ScenarioSubject(SCENARIOS).load, profile=PROFILES["full"])


def test_the_same_seed_gives_the_same_ramp() -> None:
    made = [ramp.make_ramp(LOAD, seed=3, prefix="c", step_s=1.0)[0] for _ in range(2)]
    assert made[0].to_json() == made[1].to_json()


def test_each_step_offers_its_rate_and_only_its_own_time() -> None:
    plan, planned = ramp.make_ramp(LOAD, seed=3, prefix="c", step_s=20.0)
    assert [arrival.due_ns for arrival in plan.arrivals] == sorted(a.due_ns for a in plan.arrivals)
    assert len({arrival.request for arrival in plan.arrivals}) == len(plan.arrivals)
    assert len(plan.owners) == 2
    for step in planned:
        due = [a for a in plan.arrivals if step.start_ns <= a.due_ns < step.end_ns]
        assert len(due) == step.requests
        assert len(due) / 20 == pytest.approx(step.rate, rel=0.25)


def test_no_step_repeats_the_draws_of_another() -> None:
    plan, stairs = ramp.make_ramp(LOAD, seed=3, prefix="c", step_s=5.0)
    firsts: list[object] = []
    for step in stairs:
        own = [a for a in plan.arrivals if step.start_ns <= a.due_ns < step.end_ns]
        firsts.append((own[0].params["name"], own[0].params["address"]))
        # the same draws at another rate would be the same gaps on another scale
        firsts.append(round((own[0].due_ns - step.start_ns) * step.rate / 1e6))
    assert len(set(firsts)) == len(firsts)


def test_steps_get_steeper_up_to_what_a_generator_offers() -> None:
    rates = ramp.rates()
    assert all(after == pytest.approx(before * ramp.FACTOR) for before, after in pairwise(rates))
    assert rates[-1] <= MAX_RATE < rates[-1] * ramp.FACTOR


@pytest.mark.parametrize("name", PROFILES)
def test_a_side_has_its_ramps_before_its_shares(name: str) -> None:
    made = extra_blocks.make_extra_blocks(["load"], ALL, SCENARIOS, PROFILES[name], requested=True)
    measures = [spec.measure for spec in made]
    assert measures == sorted(measures)
    assert len({spec.name for spec in made}) == len(made)
    assert max(len(spec.name) for spec in made) + len("-again-s00") <= MAX_PREFIX
    assert all(spec.measure in registry.RUNS for spec in made)


def test_a_scenario_without_requests_has_no_load() -> None:
    assert (
        extra_blocks.make_extra_blocks(["load"], ALL, [ACCOUNT_SYNC], PROFILES["full"], requested=False) == []
    )
