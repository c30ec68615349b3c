"""What a run says of its length before it starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.faults import FAULTS
from bench.plan.profiles import PROFILES
from bench.plan.run_plan import CROWDED_S, QUEUE_STRIKE_S, STRIKE_S, RunPlan, beside_s, make_run_plan
from bench.plan.run_request import make_run_request
from bench.stack.scenario_subject import ScenarioSubject


def plan(profile: str, *faults: int) -> RunPlan:
    return make_run_plan(
        make_run_request(
            ScenarioSubject,
            scenarios=(),
            sides=(),
            measures=("fault",) if faults else (),
            faults=faults,
            profile=PROFILES[profile],
            seed=1,
            out=Path(),
        )
    )


@pytest.mark.parametrize(
    ("profile", "begins"),
    [("full", "takes about 2 h"), ("quick", "takes about 4."), ("smoke", "takes about 0.")],
)
def test_a_run_says_beforehand_how_long_it_takes_and_what_each_part_takes(profile: str, begins: str) -> None:
    made, lanes = plan(profile), PROFILES[profile].lanes
    summary = made.summary(lanes)
    assert summary.startswith(begins)
    for measure, seconds in made.guesses_s(lanes).items():
        assert f"{measure} {seconds / 60:.1f}" in summary


def test_strikes_that_run_alone_take_their_whole_time_and_the_others_share_it() -> None:
    made, lanes = plan("full", 12, 36), PROFILES["full"].lanes
    alone_s = sum(spec.guess_s for spec in made.faults if spec.alone)
    beside = [spec for spec in made.faults if not spec.alone]
    assert alone_s > 0
    shared_s = sum(spec.guess_s + CROWDED_S * (lanes - 1) for spec in beside) / lanes
    assert made.guesses_s(lanes) == {"fault": pytest.approx(alone_s + shared_s)}


def test_no_number_of_lanes_makes_more_of_the_processor() -> None:
    beside = [spec for spec in plan("full", 12, 36).faults if not spec.alone]
    queued = sum(spec.side.queued for spec in beside)
    least_s = QUEUE_STRIKE_S * queued + STRIKE_S * (len(beside) - queued)
    assert beside_s(beside, 1_000_000) == pytest.approx(least_s)


@pytest.mark.parametrize("number", [2, 29])
def test_a_named_fault_that_is_not_checked_for_a_time_is_struck_once_by_itself_too(number: int) -> None:
    alone = [spec for spec in plan("quick", number).faults if spec.alone]
    assert {spec.side.name for spec in alone} == set(FAULTS[number].expected)
    assert {spec.repetition for spec in alone} == {0}
    assert not any(spec.control for spec in alone)


def test_a_fault_that_is_asked_for_by_its_number_is_struck_once_by_itself() -> None:
    alone = [spec for spec in plan("quick", 12).faults if spec.alone]
    assert {(spec.side.name, spec.repetition) for spec in alone} == {
        ("celery-stock", 0),
        ("celery-hardened", 0),
    }
    assert not any(spec.alone for spec in plan("quick").faults)
