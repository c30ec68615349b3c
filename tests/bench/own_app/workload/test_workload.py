"""A workload, from options and from a file, and the load that is planned of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.load.load_plan import LoadPlan
from bench.own_app.workload import load_plan, workload
from bench.own_app.workload.workload import Workload

FILE = """
app = "shop.celery:app"
rate = "40/s"

[[task]]
name = "shop.tasks.a"
weight = 3
args = [{ sequence = 1 }]
deadline = "2s"

[[task]]
name = "shop.tasks.b"

[[task]]
name = "shop.tasks.c"
rate = "2/s"
"""


def read(tmp_path: Path, text: str) -> Workload:
    path = tmp_path / "load.toml"
    path.write_text(text)
    return workload.from_file(path)


def test_the_common_rate_is_shared_by_weight_among_those_without_one(tmp_path: Path) -> None:
    made = read(tmp_path, FILE)
    assert {task.name: task.rate for task in made.tasks} == {
        "shop.tasks.a": 30,
        "shop.tasks.b": 10,
        "shop.tasks.c": 2,
    }
    assert made.tasks[0].deadline_s == 2
    assert made.app == "shop.celery:app"


def test_options_say_the_same_as_a_file() -> None:
    made = workload.from_options(
        app="shop.celery:app", tasks=["a=3", "b"], args=["[1]", "[2]"], rate="40/s", deadline="500ms"
    )
    assert [(task.name, task.rate, list(task.args)) for task in made.tasks] == [
        ("a", 30, [1]),
        ("b", 10, [2]),
    ]
    assert {task.deadline_s for task in made.tasks} == {0.5}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("app = \n", r"is not TOML: .*at line 1"),
        ("app = 'a'\n[[task]\nname = 1", r"is not TOML: .*line 2"),
        ("app = 'a'", r"has no task: add a table \[\[task\]\]"),
        ("[[task]]\nname = 'x'", "names no app"),
        ("app = 'a'\nspeed = 1\n[[task]]\nname = 'x'", "'speed' is not known: choose from app, rate, task"),
        ("app = 'a'\n[[task]]\nname = 'x'\nwieght = 1", r"task 1 \(x\): 'wieght' is not known"),
        (
            "app = 'a'\n[[task]]\nname = 'x'\nweight = 0",
            r"task 1 \(x\): weight is 0: expected a number above 0",
        ),
        ("app = 'a'\n[[task]]\nname = 'x'\nrate = 'often'", r"task 1 \(x\): rate is 'often'"),
        ("app = 'a'\n[[task]]\nname = 'x'\nrate = 1\nweight = 1", "has a rate and a weight"),
        ("app = 'a'\n[[task]]\nname = 'x'\nargs = 3", r"args is 3: expected a list"),
        ("app = 'a'\n[[task]]\nname = 'x'\nkwargs = [3]", r"kwargs is \[3\]: expected an object"),
        (
            "app = 'a'\n[[task]]\nname = 'x'\nargs = [2026-11-28]",
            "which JSON does not know: write it as text",
        ),
        ("app = 'a'\n[[task]]\nweight = 1", r"task 1 \(without a name\) has no name"),
        ("app = 'a'\nrate = '400/s'\n[[task]]\nname = 'x'", "the rates add up to 400 a second"),
    ],
)
def test_a_file_that_cannot_be_run_is_refused_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(BenchError, match=told):
        read(tmp_path, text)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"--workload .*gone.toml cannot be read: No such file"):
        workload.from_file(tmp_path / "gone.toml")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"tasks": []}, "--app needs a task"),
        ({"tasks": ["a=0"]}, r"--task 1 \(a\): weight is '0'"),
        ({"tasks": ["a", "b", "c"], "args": ["[1]", "[2]"]}, "--args stands 2 times beside 3 tasks"),
        ({"tasks": ["a"], "args": ["{}"]}, r"args is \{\}: expected a list"),
        ({"tasks": ["a"], "rate": "50/fortnight"}, "--rate is '50/fortnight'"),
    ],
)
def test_options_that_cannot_be_run_are_refused(options: dict[str, object], told: str) -> None:
    with pytest.raises(BenchError, match=told):
        workload.from_options(app="shop", **options)  # type: ignore[arg-type]  # bad ones on purpose


def planned(made: Workload, *, prefix: str = "r00", factor: float = 1.0) -> LoadPlan:
    return load_plan.make_load(made, seed=7, prefix=prefix, seconds=20, factor=factor)


def test_the_same_seed_plans_the_same_calls_for_every_side(tmp_path: Path) -> None:
    made = read(tmp_path, FILE)
    one, other = planned(made), planned(made, prefix="r01")
    assert one.to_json() == planned(made).to_json()
    assert [(call.due_ns, call.params["args"]) for call in one.arrivals] == [
        (call.due_ns, call.params["args"]) for call in other.arrivals
    ]


def test_a_load_can_be_read_again_by_the_generator(tmp_path: Path) -> None:
    plan = planned(read(tmp_path, FILE))
    assert LoadPlan.from_json(plan.to_json()) == plan


def test_a_task_more_moves_no_call_of_the_others(tmp_path: Path) -> None:
    whole, alone = read(tmp_path, FILE), read(tmp_path, FILE.partition('[[task]]\nname = "shop.tasks.c"')[0])
    of_a = [
        [call.due_ns for call in planned(made).arrivals if call.scenario == "shop.tasks.a"]
        for made in (whole, alone)
    ]
    assert of_a[0] == of_a[1] != []


def test_the_rates_are_kept_and_a_burst_keeps_the_mix(tmp_path: Path) -> None:
    made = read(tmp_path, FILE)
    calm, burst = planned(made), planned(made, factor=5.0)
    assert len(calm.arrivals) / 20 == pytest.approx(made.rate, rel=0.2)
    assert len(burst.arrivals) / len(calm.arrivals) == pytest.approx(5.0, rel=0.2)
    assert burst.rates["shop.tasks.c"] == pytest.approx(10.0)


def test_a_call_carries_all_that_the_host_needs(tmp_path: Path) -> None:
    first = next(call for call in planned(read(tmp_path, FILE)).arrivals if call.scenario == "shop.tasks.a")
    assert first.params == {
        "id": first.request,
        "task": "shop.tasks.a",
        "args": [1],
        "kwargs": {},
    }
    assert first.request.startswith("r00-")
