from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest

from bench.measures.load.cpu_shares import CpuShares, bottleneck, own_line, own_part, own_row
from bench.schema import TABLES

LIGHT = CpuShares(
    seconds=10.0,
    cores=2,
    side_s=6.0,
    services_s=2.0,
    generator_s=1.0,
    harness_s=1.0,
    busy_s=11.0,
    stolen_s=0.2,
)


def test_the_own_share_is_generator_and_harness_of_what_the_run_took() -> None:
    row = own_row("b", "latency", "inprocess", LIGHT)
    assert tuple(row) == TABLES["own"]
    assert row["own_percent"] == pytest.approx(20)
    assert row["own_machine_percent"] == pytest.approx(10)
    assert LIGHT.steal_percent == pytest.approx(1)


def test_a_run_that_used_nothing_has_no_share() -> None:
    idle = replace(LIGHT, side_s=0.0, services_s=0.0, generator_s=0.0, harness_s=0.0)
    assert math.isnan(idle.own_percent)


def test_the_share_of_a_run_weighs_its_blocks_and_leaves_out_whose_side_was_killed() -> None:
    killed = replace(LIGHT, side_s=math.nan)
    part = own_part(pd.DataFrame([own_row("b", "fault", "inprocess", spent) for spent in (LIGHT, killed)]))
    assert part == pytest.approx({"own_percent": 20, "own_machine_percent": 10})
    assert "20.0 %" in own_line(part)


def test_a_run_without_blocks_says_nothing_of_its_own_share() -> None:
    part = own_part(pd.DataFrame(columns=list(TABLES["own"])))
    assert all(math.isnan(value) for value in part.values())
    assert not own_line({"own_percent": None, "own_machine_percent": None})


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, ""),
        ({"generator_s": 9.5}, "the generator used 95% of a core"),
        ({"services_s": 9.6}, "the services used 96% of a core"),
        ({"busy_s": 19.6, "side_s": 6.0}, "the machine was full and the side had 31% of it"),
        ({"busy_s": 19.6, "side_s": 14.0}, ""),  # full, and it was the side that filled it
    ],
)
def test_a_bottleneck_that_is_not_the_side_is_named(changes: dict[str, float], told: str) -> None:
    assert bottleneck(replace(LIGHT, **changes)) == told  # type: ignore[arg-type]  # floats, as the fields are
