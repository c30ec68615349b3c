"""The further measures on real parts, at the smallest size: tables have rows, blocks a verdict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from bench.blocks import load
from bench.plan import extra_blocks
from bench.plan.profiles import PROFILES
from bench.plan.run_request import make_run_request
from bench.run import runner
from bench.schema import TABLES
from bench.stack.scenario_subject import ScenarioSubject

SMALLEST = replace(
    PROFILES["smoke"],
    idle_s=0.3,
    ramp_step_s=0.5,
    shares=(0.5,),
    share_s=1.0,
    cold_starts=1,
    owner_counts=(3,),
    calm_s=1.0,
    hogs_s=1.5,
)
MEASURES = ("load", "cold", "owners", "hogs")


@pytest.mark.timeout(180)
def test_load_cold_starts_owners_and_heavy_jobs_are_measured_on_real_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "WARMUP_S", 0.3)
    monkeypatch.setattr(extra_blocks, "LEAST_S", 2.0)
    monkeypatch.setitem(extra_blocks.PLACES, "inprocess", ("process",))
    order = make_run_request(
        ScenarioSubject,
        scenarios=(),
        sides=("inprocess",),
        measures=MEASURES,
        faults=(),
        profile=SMALLEST,
        seed=1,
        out=tmp_path,
    )

    made = runner.execute(order, Console(quiet=True))

    blocks = made.table("blocks").set_index("block")
    assert list(blocks["measure"]) == ["capacity", "load", "cold", "hogs", "owners"]
    assert (blocks["reason"].eq("") == blocks["valid"]).all(), "a block that does not count says why"
    tables = {name: made.table(name) for name in ("capacity", "ramps", "cold", "owners", "hogs", "own")}
    assert all(list(frame) == list(TABLES[name]) for name, frame in tables.items())
    assert (tables["capacity"]["capacity_per_s"] > 0).all()
    assert tables["ramps"]["rate_per_s"].is_monotonic_increasing
    assert (tables["cold"]["first_effect_s"] > tables["cold"]["app_s"]).all()
    assert tables["owners"]["ticks_due"].tolist() == [6]
    assert tables["owners"]["ticks_run"].gt(0).all()
    assert tables["hogs"]["place"].tolist() == ["process"]
    assert (tables["hogs"]["hogs_done"] > 0).all()
    loaded = tables["own"]["measure"].isin(
        ["capacity", "load", "hogs"]
    )  # the others' own use may be below a tick
    assert (tables["own"][loaded]["own_machine_percent"] > 0).all()
    if blocks.loc["c00-inprocess", "valid"]:  # a machine that is busy with something else shows no capacity
        assert made.table("loads")["share"].tolist() == [0.5]
