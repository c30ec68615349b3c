from __future__ import annotations

from pathlib import Path

import pandas as pd

from bench.blocks.block_result import BlockResult
from bench.measures.load.cpu_shares import CpuShares
from bench.plan.blocks import BlockSpec, block_row
from bench.plan.sides import SIDES
from bench.storage.run_directory import RunDirectory

TURN = BlockSpec(name="s00-inline", measure="cold", side=SIDES["inline"], repetition=0, guess_s=1.0)
SPENT = CpuShares(
    seconds=2.0,
    cores=2,
    side_s=1.0,
    services_s=0.5,
    generator_s=0.25,
    harness_s=0.25,
    busy_s=2.0,
    stolen_s=0.0,
)


def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path, "smoke", {"sides": ["inline"]})


def result(reason: str = "") -> BlockResult:
    return BlockResult(
        spec=TURN,
        spent=SPENT,
        tables={
            "cold": [{"block": TURN.name, "side": "inline", "repetition": 0}],
            "exposure": [],
            "jobs": pd.DataFrame(),
        },
        row=block_row(TURN, reason, seconds=2.0),
    )


def test_a_block_leaves_its_rows_what_it_cost_and_whether_it_counts(tmp_path: Path) -> None:
    directory = run(tmp_path)
    assert result().append_to(directory) == ""
    assert list(directory.table("cold")["block"]) == [TURN.name]
    assert list(directory.table("own")["own_percent"]) == [25.0]
    assert list(directory.table("blocks")["valid"]) == [True]


def test_a_block_that_does_not_count_says_why(tmp_path: Path) -> None:
    directory = run(tmp_path)
    assert result("too noisy").append_to(directory) == "too noisy"
    assert list(directory.table("blocks")["reason"]) == ["too noisy"]


def test_a_table_without_rows_is_not_made(tmp_path: Path) -> None:
    directory = run(tmp_path)
    result().append_to(directory)
    assert not (directory.path / "exposure.csv").exists()
    assert not (directory.path / "jobs.csv").exists()


def test_the_row_by_which_a_block_is_whole_is_written_last(tmp_path: Path) -> None:
    directory = run(tmp_path)
    result().append_to(directory)
    files = sorted(directory.path.glob("*.csv"), key=lambda path: path.stat().st_mtime_ns)
    assert files[-1].name == "blocks.csv"
