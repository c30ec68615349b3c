"""The order of a run."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import get_args

import pytest

from bench import faults
from bench.errors import BenchError
from bench.load.load_plan import MAX_PREFIX
from bench.plan import blocks, extra_blocks, sides, strikes
from bench.plan.profiles import PROFILES
from bench.stack.scenario_subject import ScenarioSubject
from inprocess import account_sync
from scenarios.jobs import ACCOUNT_SETUP, WELCOME_EMAIL

ALL = list(sides.SIDES.values())


def test_sides_are_taken_forwards_and_backwards_in_turn() -> None:
    made = blocks.latency_blocks(ALL, PROFILES["quick"])
    rounds = [made[at : at + len(ALL)] for at in range(0, len(made), len(ALL))]
    for first, second in pairwise(rounds):
        assert [spec.side.name for spec in first] == [spec.side.name for spec in reversed(second)]


def test_each_side_stands_at_the_same_mean_place() -> None:
    made = blocks.latency_blocks(ALL, PROFILES["quick"])
    places = {side.name: [at for at, spec in enumerate(made) if spec.side is side] for side in ALL}
    assert len({sum(at) / len(at) for at in places.values()}) == 1


def test_every_round_holds_each_side_once() -> None:
    made = blocks.latency_blocks(ALL, PROFILES["full"])
    for repetition in range(PROFILES["full"].repetitions):
        names = [spec.side.name for spec in made if spec.repetition == repetition]
        assert sorted(names) == sorted(sides.SIDES)


def test_every_policy_drifts_beside_the_others() -> None:
    (together,) = blocks.drift_blocks(ALL, PROFILES["quick"])
    assert [(spec.side.name, spec.policy) for spec in together] == [
        ("inprocess", "work-then-rearm"),
        ("inprocess", "anchored"),
        ("inprocess-journal", "anchored"),
        ("celery-stock", "beat"),
        ("celery-hardened", "anchored-beat"),
    ]
    (more, *_) = blocks.drift_blocks(ALL, PROFILES["full"])
    inprocess = [spec.policy for spec in more if spec.side.name == "inprocess"]
    assert inprocess == ["work-then-rearm", "anchored", "anchored-spawn", "anchored-catch-up"]
    assert set(inprocess) == set(get_args(account_sync.Policy))


def test_a_fault_strikes_only_the_sides_that_it_can_hit() -> None:
    made = blocks.fault_blocks(ALL, faults.select_faults([12]), PROFILES["full"])
    assert {spec.side.name for spec in made} == {"celery-stock", "celery-hardened"}
    assert len(made) == PROFILES["full"].verdict_strikes + PROFILES["full"].strikes


#: The faults that a verdict rests on, those at which a journalled task promises that nothing is lost, and the
#: fewest strikes of these and of the others.
RESTS_ON, PROMISED, OFTEN, AT_LEAST = {6, 10, 12, 13, 14, 20, 28, 29}, {43, 44, 45, 46}, 20, 5


def is_decisive(number: int, side: str) -> bool:
    """Whether a verdict or a promise rests on it; stock Celery stands beside hardened, which is judged."""
    if side == "inprocess-journal" and number in PROMISED:
        return True
    return number in RESTS_ON and side not in {"inline", "celery-stock"}


def test_a_full_run_strikes_twenty_times_where_a_verdict_rests_on_it_and_five_times_elsewhere() -> None:
    made = blocks.fault_blocks(ALL, faults.select_faults([]), PROFILES["full"], controls=True)
    counts = Counter((spec.fault.number, spec.side.name) for spec in made if spec.fault and not spec.control)
    assert counts.keys() == {
        (fault.number, side) for fault in faults.FAULTS.values() for side in fault.expected
    }
    for (number, side), count in counts.items():
        assert count >= (OFTEN if is_decisive(number, side) else AT_LEAST), (number, side)


def test_stock_celery_is_struck_as_often_where_no_hardened_one_is_judged() -> None:
    alone = [side for side in ALL if side.name != "celery-hardened"]
    made = blocks.fault_blocks(alone, faults.select_faults([12, 20]), PROFILES["full"])
    assert set(Counter(spec.fault.number for spec in made if spec.fault).values()) == {OFTEN}


def test_strikes_go_first_to_the_faults_that_verdicts_rest_on() -> None:
    made = blocks.fault_blocks(ALL, faults.select_faults([]), PROFILES["full"], controls=True)
    decisive = [is_decisive(spec.fault.number, spec.side.name) for spec in made if spec.fault]
    assert decisive == sorted(decisive, reverse=True)


def test_a_fault_that_is_checked_for_a_time_is_struck_once_with_nothing_beside_it() -> None:
    made = blocks.fault_blocks(ALL, faults.select_faults([]), PROFILES["full"], controls=True)
    alone = Counter((spec.fault.number, spec.side.name) for spec in made if spec.fault and spec.alone)
    timed = {fault.number for fault in faults.FAULTS.values() if fault.timed}
    assert {number for number, _ in alone} == timed
    assert set(alone.values()) == {1}
    assert not any(spec.control for spec in made if spec.alone)
    assert "inline" not in {side for _, side in alone}, "no verdict compares the control"


def test_a_strike_that_is_made_again_has_the_same_load_and_another_moment() -> None:
    (spec, *_) = blocks.fault_blocks(ALL, faults.select_faults([10]), PROFILES["smoke"])
    subject = ScenarioSubject([ACCOUNT_SETUP, WELCOME_EMAIL])
    plans = [strikes.strike_plan(spec, 1, subject, retry=retry) for retry in range(3)]
    assert len({plan.plan.to_json() for plan in plans}) == 1
    assert len({plan.strike_ns for plan in plans}) == 3
    assert spec.fault is not None
    first, last = (share * spec.fault.load_s * 1e9 for share in strikes.STRIKE_BETWEEN)
    assert all(first <= plan.strike_ns <= last for plan in plans)


def test_a_full_run_has_three_ramps_a_side() -> None:
    made = extra_blocks.load_blocks(ALL, PROFILES["full"])
    ramps = Counter(spec.side.name for spec in made if spec.measure == "capacity")
    assert set(ramps.values()) == {3}
    assert ramps.keys() == sides.SIDES.keys()


def test_block_names_are_unique_and_fit_a_plan() -> None:
    profile = PROFILES["full"]
    made = blocks.latency_blocks(ALL, profile)
    made += [spec for together in blocks.drift_blocks(ALL, profile) for spec in together]
    made += blocks.fault_blocks(ALL, faults.select_faults([]), profile)
    names = [spec.name for spec in made]
    assert len(set(names)) == len(names)
    assert max(map(len, names)) <= MAX_PREFIX


def test_celery_means_both_profiles() -> None:
    assert [side.name for side in sides.select_sides(("celery",))] == ["celery-stock", "celery-hardened"]


def test_an_unknown_side_is_named_with_the_choices() -> None:
    with pytest.raises(BenchError, match="no side is called 'ruby': choose from inprocess"):
        sides.select_sides(("ruby",))
