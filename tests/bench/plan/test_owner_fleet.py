from __future__ import annotations

from bench.plan.extra_blocks import OwnerBlockSpec, owner_blocks
from bench.plan.owner_fleet import OwnerFleet
from bench.plan.profiles import PROFILES
from bench.plan.sides import SIDES


def test_a_full_run_has_each_count_on_each_side_and_the_most_in_process_alone() -> None:
    specs = owner_blocks(list(SIDES.values()), PROFILES["full"])
    asked = {
        (spec.side.name, spec.policy, spec.fleet.owners) for spec in specs if isinstance(spec, OwnerBlockSpec)
    }
    counts = (1, 1_000, 10_000)
    assert asked == {
        *(("inprocess", "anchored", count) for count in (*counts, 100_000)),
        *(("celery-stock", "beat fan-out", count) for count in counts),
        *(("celery-stock", "beat entries", count) for count in counts),
        *(("celery-hardened", "beat fan-out", count) for count in counts),
    }
    assert len({spec.name for spec in specs}) == len(specs)


def test_one_owner_in_so_many_notes_its_runs_and_the_side_is_told_the_same() -> None:
    fleet = OwnerFleet(owners=100_000, every=50, interval_s=20.0, policy="anchored")
    assert len(fleet.noted) == 2_000
    assert fleet.noted[1] == "owner-000050"
    assert OwnerFleet.from_json(fleet.to_json()) == fleet
