"""What a run of an app of somebody's own comes to, without an app: its turns, loads and strikes."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from bench.load import ramp
from bench.own_app import faults, sides
from bench.own_app.children.app_description import AppDescription, ScheduleEntry
from bench.own_app.interpreter import inspect
from bench.own_app.own_app import OwnApp
from bench.own_app.workload.workload import from_options
from bench.plan.plan_file import planned
from bench.plan.profiles import PROFILES
from bench.plan.run_plan import make_run_plan
from bench.plan.run_request import RunRequest
from bench.plan.strikes import strike_plan

HERE = inspect(Path(sys.executable))
ENTRY = ScheduleEntry(name="sweep", task="shop.sweep", schedule="every 60 s", seconds=60.0)


@pytest.fixture
def own() -> OwnApp:
    description = AppDescription(
        signatures=dict.fromkeys(("shop.a", "shop.b"), "(n)"),
        queues=["celery"],
        entries=[ENTRY],
        broker="",
        results="",
        settings=["timezone", "task_acks_late"],
        queue_settings=["task_acks_late"],
        worker={"task_acks_late": True},
    )
    workload = from_options(app="shop:app", tasks=["shop.a=3", "shop.b"], args=["[1]"], rate="40/s")
    return OwnApp(
        workload=workload,
        folder=Path("/shop"),
        description=description,
        entries={"sweep": 1.0},
        interpreter=HERE,
    )


def order(own: OwnApp, *measures: str, profile: str = "full") -> RunRequest:
    return RunRequest(
        profile=PROFILES[profile],
        subject=own,
        sides=sides.select_sides(()),
        measures=list(measures),
        faults=faults.select_faults((), named=False, use_app_broker=False),
        controls=False,
        seed=1,
        out=Path(),
        command=[],
    )


def test_every_measure_that_applies_has_its_turns(own: OwnApp) -> None:
    run_plan = make_run_plan(order(own, "latency", "load", "cold", "drift", "fault"))
    assert len(run_plan.latency) == 2 * PROFILES["full"].repetitions
    assert {spec.measure for spec in run_plan.further} == {"capacity", "load", "cold"}
    assert [[spec.policy for spec in together] for together in run_plan.drift] == [["beat", "beat"]] * 3
    struck = Counter((spec.side.name, spec.fault.number) for spec in run_plan.faults if spec.fault)
    assert {number for side, number in struck if side == "inprocess"} == {10, 13, 31}
    assert {number for side, number in struck if side == "celery-app"} == {
        *(10, 11, 12, 13, 16, 17, 18, 19, 20, 21, 22, 24, 31)
    }
    assert not run_plan.micro


def test_on_the_apps_own_broker_no_fault_hurts_it() -> None:
    numbers = [fault.number for fault in faults.select_faults((), named=False, use_app_broker=True)]
    assert numbers == [10, 11, 12, 13, 24, 31]


def test_the_same_order_plans_the_same_bytes_and_names_what_is_asked_of_the_app(own: OwnApp) -> None:
    asked = order(own, "fault", profile="smoke")
    text = planned(asked, make_run_plan(asked))
    assert text == planned(asked, make_run_plan(asked))
    plan = json.loads(text)
    assert [task["rate_per_s"] for task in plan["own_app"]["tasks"]] == [30.0, 10.0]
    assert plan["own_app"]["entries"][0] == {
        "name": "sweep",
        "task": "shop.sweep",
        "own_schedule": "every 60 s",
        "every_s": 1.0,
    }


def test_a_strike_has_the_workloads_load_and_a_burst_its_own_rate(own: OwnApp) -> None:
    specs = make_run_plan(order(own, "fault")).faults
    killed, burst = (
        next(spec for spec in specs if spec.fault and spec.fault.number == number) for number in (12, 31)
    )
    calm, many = (strike_plan(spec, 1, own).plan for spec in (killed, burst))
    assert len(calm.arrivals) / calm.seconds == pytest.approx(40, rel=0.3)
    assert len(many.arrivals) / many.seconds == pytest.approx(250, rel=0.3)


@pytest.mark.parametrize(
    ("entries", "grids"),
    [({"sweep": 1.0}, [("sweep", 1.0)]), ({"sweep": None}, [("sweep", 60.0)]), ({}, [])],
)
def test_each_entry_that_is_measured_has_a_grid_at_the_period_that_was_asked_for_or_its_own(
    own: OwnApp, entries: dict[str, float | None], grids: list[tuple[str, float]]
) -> None:
    [spec, *_] = make_run_plan(order(own, "drift")).drift[0]
    found = replace(own, entries=entries).tick_plan(spec, owners=3).grids
    assert [(grid.policy, grid.interval_s) for grid in found] == grids
    assert all(list(grid.owners) == [grid.policy] for grid in found)


def test_every_task_has_a_deadline_in_milliseconds(own: OwnApp) -> None:
    [fault, *_] = faults.select_faults((), named=False, use_app_broker=False)
    deadlines_s = {task.name: task.deadline_s for task in own.workload.tasks}
    assert own.deadlines_ms(fault) == {name: 1000 * seconds for name, seconds in deadlines_s.items()}


def test_a_ramp_keeps_the_mix_of_the_tasks(own: OwnApp) -> None:
    load = partial(own.load, profile=PROFILES["full"])
    plan, stairs = ramp.make_ramp(load, seed=3, prefix="c", step_s=2.0)
    counts = Counter(arrival.scenario for arrival in plan.arrivals)
    assert counts["shop.a"] / counts["shop.b"] == pytest.approx(3, rel=0.2)
    assert [stair.rate for stair in stairs] == ramp.rates()
    assert len({arrival.request for arrival in plan.arrivals}) == len(plan.arrivals)


def test_settings_that_only_a_queue_needs_are_not_charged_to_the_task_in_the_app(own: OwnApp) -> None:
    queue, task = sides.SIDES[sides.CELERY_APP], sides.SIDES["inprocess"]
    assert (own.config_lines(queue), own.config_lines(task)) == (2, 1)
