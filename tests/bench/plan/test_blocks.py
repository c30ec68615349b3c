"""The order of a run."""

from __future__ import annotations

from itertools import pairwise
from typing import get_args

import pytest

from bench import faults
from bench.errors import BenchError
from bench.load.load_plan import MAX_PREFIX
from bench.plan import blocks, sides
from bench.plan.profiles import PROFILES
from inprocess import account_sync

ALL = list(sides.SIDES.values())


def test_sides_are_taken_forwards_and_backwards_in_turn() -> None:
    made = blocks.latency_turns(ALL, PROFILES["quick"])
    rounds = [made[at : at + len(ALL)] for at in range(0, len(made), len(ALL))]
    for first, second in pairwise(rounds):
        assert [turn.side.name for turn in first] == [turn.side.name for turn in reversed(second)]


def test_each_side_stands_at_the_same_mean_place() -> None:
    made = blocks.latency_turns(ALL, PROFILES["quick"])
    places = {side.name: [at for at, turn in enumerate(made) if turn.side is side] for side in ALL}
    assert len({sum(at) / len(at) for at in places.values()}) == 1


def test_every_round_holds_each_side_once() -> None:
    made = blocks.latency_turns(ALL, PROFILES["full"])
    for repetition in range(PROFILES["full"].repetitions):
        names = [turn.side.name for turn in made if turn.repetition == repetition]
        assert sorted(names) == sorted(sides.SIDES)


def test_every_policy_drifts_beside_the_others() -> None:
    (together,) = blocks.drift_turns(ALL, PROFILES["quick"])
    assert [(turn.side.name, turn.policy) for turn in together] == [
        ("inprocess", "work-then-rearm"),
        ("inprocess", "anchored"),
        ("celery-stock", "beat"),
        ("celery-hardened", "anchored-beat"),
    ]
    (more, *_) = blocks.drift_turns(ALL, PROFILES["full"])
    inprocess = [turn.policy for turn in more if turn.side.name == "inprocess"]
    assert inprocess == ["work-then-rearm", "anchored", "anchored-spawn", "anchored-catch-up"]
    assert set(inprocess) == set(get_args(account_sync.Policy))


def test_a_fault_strikes_only_the_sides_that_it_can_hit() -> None:
    made = blocks.fault_turns(ALL, faults.chosen([12]), PROFILES["full"])
    assert {turn.side.name for turn in made} == {"celery-stock", "celery-hardened"}
    assert len(made) == 2 * PROFILES["full"].strikes


def test_block_names_are_unique_and_fit_a_plan() -> None:
    profile = PROFILES["full"]
    made = blocks.latency_turns(ALL, profile)
    made += [turn for together in blocks.drift_turns(ALL, profile) for turn in together]
    made += blocks.fault_turns(ALL, faults.chosen([]), profile)
    names = [turn.name for turn in made]
    assert len(set(names)) == len(names)
    assert max(map(len, names)) <= MAX_PREFIX


def test_celery_means_both_profiles() -> None:
    assert [side.name for side in sides.chosen(("celery",))] == ["celery-stock", "celery-hardened"]


def test_an_unknown_side_is_named_with_the_choices() -> None:
    with pytest.raises(BenchError, match="no side is called 'ruby': choose from inprocess"):
        sides.chosen(("ruby",))
