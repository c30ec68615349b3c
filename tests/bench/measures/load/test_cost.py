from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from bench.measures.events.block import Block
from bench.measures.load.cost import cost_row
from bench.schema import TABLES


@dataclass
class Sample:
    cpu_s: float
    pss_mb: float = 90.0
    processes: int = 4
    sockets: int = 12
    broker_commands: int = 0


def row(block: Block, jobs: int) -> dict[str, object]:
    return cost_row(
        block,
        before=Sample(1.0, broker_commands=100),
        after=Sample(3.0, broker_commands=900),
        jobs=jobs,
        config_lines=17,
        cold_start_s=1.5,
    )


def test_cost_is_what_was_used_between_the_samples_a_job(block: Block) -> None:
    found = row(block, 200)
    assert tuple(found) == TABLES["cost"]
    assert found["cpu_s_per_1000"] == pytest.approx(10)
    assert found["broker_commands_per_job"] == 4
    assert found["pss_mb"] == 90


def test_without_a_job_the_cost_of_one_is_not_known(block: Block) -> None:
    cpu = row(block, 0)["cpu_s_per_1000"]
    assert isinstance(cpu, float)
    assert math.isnan(cpu)
