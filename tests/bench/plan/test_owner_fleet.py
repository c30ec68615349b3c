from __future__ import annotations

from bench.plan.extra_blocks import OwnerTurn, owner_turns
from bench.plan.owner_fleet import Many
from bench.plan.profiles import PROFILES
from bench.plan.sides import SIDES


def test_a_full_run_has_each_count_on_each_side_and_the_most_in_process_alone() -> None:
    turns = owner_turns(list(SIDES.values()), PROFILES["full"])
    asked = {(turn.side.name, turn.policy, turn.many.owners) for turn in turns if isinstance(turn, OwnerTurn)}
    counts = (1, 1_000, 10_000)
    assert asked == {
        *(("inprocess", "anchored", count) for count in (*counts, 100_000)),
        *(("celery-stock", "beat fan-out", count) for count in counts),
        *(("celery-stock", "beat entries", count) for count in counts),
        *(("celery-hardened", "beat fan-out", count) for count in counts),
    }
    assert len({turn.name for turn in turns}) == len(turns)


def test_one_owner_in_so_many_notes_its_runs_and_the_side_is_told_the_same() -> None:
    many = Many(owners=100_000, every=50, interval_s=20.0, policy="anchored")
    assert len(many.noted) == 2_000
    assert many.noted[1] == "owner-000050"
    assert Many.from_json(many.to_json()) == many
