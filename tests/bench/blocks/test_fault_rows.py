"""What the row of a strike says of its prediction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.blocks import fault_rows
from bench.blocks.context import Context
from bench.blocks.fault_rows import BlockReadings
from bench.blocks.hiccups import Hiccups
from bench.faults import FAULTS
from bench.plan.blocks import BlockSpec
from bench.plan.profiles import PROFILES
from bench.plan.sides import SIDES
from bench.process.process_table import ProcessTable
from bench.stack.scenario_subject import ScenarioSubject
from bench.storage.run_directory import RunDirectory
from scenarios.jobs import ACCOUNT_SETUP
from tests.bench.blocks.test_block_result import SPENT

S = 1_000_000_000
SIDE = "celery-stock"


def row_of(number: int, folder: Path, *, steal_percent: float, effect_s: float) -> dict[str, Any]:
    """The row of a strike from second 1 to second 2, whose one job has its effect at `effect_s`."""
    fault, side = FAULTS[number], SIDES[SIDE]
    spec = BlockSpec(name="f", measure="fault", side=side, repetition=0, fault=fault, guess_s=0.0)
    job = {"scenario": ACCOUNT_SETUP, "job": "f-1/crm"}
    times = {"due": 0.5, "submit": 0.5, "accepted": 0.5, "effect": effect_s}
    events: list[dict[str, Any]] = [{"t": int(at * S), "event": kind, **job} for kind, at in times.items()]
    events += [{"t": at * S, "event": kind} for kind, at in (("fault_on", 1), ("fault_off", 2))]
    readings = BlockReadings(
        start_ns=0,
        fault_on_ns=S,
        fault_off_ns=2 * S,
        drained_ns=90 * S,
        lag_max_ms=1.0,
        app_died=False,
        gave_up={},
        complete=True,
        facts={},
        owners=(),
        spent=SPENT,
        killed=True,
        hiccups=Hiccups(p99_ms=1.0, max_ms=1.0),
        steal_percent=steal_percent,
    )
    with ProcessTable() as table:
        context = Context(
            directory=RunDirectory.create(folder, "full", {"sides": [SIDE]}),
            table=table,
            profile=PROFILES["full"],
            seed=1,
            subject=ScenarioSubject([ACCOUNT_SETUP]),
        )
        found = sorted(events, key=lambda event: int(event["t"]))
        return fault_rows.failure_rows(spec, context, fault, readings, found)[0]


@pytest.mark.parametrize(
    ("number", "steal_percent", "effect_s", "said"),
    [
        pytest.param(21, 0.0, 3.0, "yes", id="back within seconds"),
        pytest.param(21, 0.0, 80.0, "no", id="back much later"),
        pytest.param(21, 50.0, 3.0, "", id="back, nobody knows when"),
        pytest.param(12, 50.0, 3.0, "no", id="no job lost, whenever it was done"),
    ],
)
def test_a_prediction_that_hangs_on_times_is_neither_met_nor_failed_where_they_are_left_out(
    tmp_path: Path, number: int, steal_percent: float, effect_s: float, said: str
) -> None:
    row = row_of(number, tmp_path, steal_percent=steal_percent, effect_s=effect_s)
    assert row["done_once"] == 1
    assert row["as_predicted"] == said
