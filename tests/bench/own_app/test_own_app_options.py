"""`run --app` as its users meet it: what it refuses, in one line with exit code 2, leaving nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bench.cli import run_command
from bench.cli.commands import main
from bench.errors import BenchError
from bench.own_app import sides
from bench.own_app.own_app import OwnApp
from bench.own_app.own_request import OwnAppOptions, make_own_request
from bench.plan.profiles import PROFILES
from bench.plan.run_request import RunRequest

EXAMPLES = Path(__file__).parents[3] / "examples"
SHOP = ["--app", "shop.celery:app", "--task", "shop.tasks.send_receipt"]


@pytest.fixture(autouse=True)
def in_the_shop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLES / "shop")


def refused(tmp_path: Path, *words: str) -> str:
    done = CliRunner().invoke(main, ["run", "--out", str(tmp_path / "results"), *words])
    assert done.exit_code == 2, done.output
    assert not (tmp_path / "results").exists()
    (line,) = done.stderr.splitlines()
    return line.removeprefix("queue-or-task: ")


def order(**asked: Any) -> RunRequest:
    shared = {"scenarios": (), "sides": (), "measures": (), "faults": (), "seed": 1, "out": Path()}
    own = OwnAppOptions(app="shop.celery:app", tasks=("shop.tasks.send_receipt",), args=("[42]",), **asked)
    return make_own_request(own, profile=PROFILES["smoke"], **shared)  # type: ignore[arg-type]  # a table of options


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--task", "shop.tasks.send_receipt"], "--task is for an app of your own: add --app"),
        (["--app", "shop.celery:app"], "--app needs a task"),
        ([*SHOP, "--rate", "fast"], "--rate is 'fast': expected a rate above 0"),
        ([*SHOP, "--args", "[42"], "--args is '[42', which is not JSON"),
        ([*SHOP, "--scenario", "account_sync"], "--scenario account_sync is one of ours"),
        ([*SHOP, "--side", "celery-stock"], "has no side 'celery-stock': choose from inprocess, celery-app"),
        (
            [*SHOP, "--measure", "micro"],
            "no measure of an app of your own is called 'micro': choose from latency",
        ),
        ([*SHOP, "--fault", "6"], "fault 6 does not apply to an app of your own: choose from 10, 11"),
        ([*SHOP, "--fault", "20", "--use-app-broker"], "fault 20 hurts the broker, which is your own"),
        ([*SHOP, "--workload", "load.toml"], "--task stands beside --workload load.toml"),
        (["--workload", "gone.toml"], "--workload gone.toml cannot be read"),
        (
            [*SHOP, "--beat-every", "often", "--args", "[1]"],
            "--beat-every is 'often': expected a time above 0",
        ),
        ([*SHOP, "--args", "[1, 2, 3]"], "do not fit shop.tasks.send_receipt(order_id: int"),
        ([*SHOP, "--args", "[1]", "--worker-options", "'"], '--worker-options is "\'"'),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is_written(
    tmp_path: Path, words: list[str], told: str
) -> None:
    assert told in refused(tmp_path, *words)


def test_an_order_names_the_app_and_gives_the_same_run_again() -> None:
    made = order(rate="20/s", beat_every="1s")
    assert made.subject.scenarios == ["shop.tasks.send_receipt"]
    assert made.measures == ["latency", "drift", "fault"]
    assert [side.name for side in made.sides] == list(sides.SIDES)
    assert isinstance(made.subject, OwnApp)
    assert made.subject.entries == {"sweep-carts": 1.0, "nightly-report": 1.0}
    parsed = main.commands["run"].make_context("run", made.command[2:])
    assert run_command.group_options(parsed.params)["own"] == OwnAppOptions(
        app="shop.celery:app",
        tasks=("shop.tasks.send_receipt",),
        args=("[42]",),
        rate="20/s",
        beat_every="1s",
        python=made.subject.interpreter.path,
    )


def test_an_entry_that_comes_too_seldom_is_left_out_with_the_way_to_measure_it() -> None:
    own = order().subject
    assert isinstance(own, OwnApp)
    assert own.entries == {"sweep-carts": None}
    (told,) = own.left_out
    assert told.startswith("nightly-report: every 86400 s has too few ticks in 6 s; --beat-every 1s")


def test_faults_are_counted_and_not_compared_and_those_of_our_services_do_not_apply() -> None:
    made = order()
    assert [fault.number for fault in made.faults] == [10, 12]
    assert {side for fault in made.faults for side in fault.expected} == {"inprocess", "celery-app"}
    assert {expected.text for fault in made.faults for expected in fault.expected.values()} == {""}


def test_a_task_with_the_name_of_one_of_our_scenarios_is_refused() -> None:
    with pytest.raises(BenchError, match="has the name of a scenario of ours"):
        make_own_request(
            OwnAppOptions(app="shop.celery:app", tasks=("welcome_email",)),
            scenarios=(),
            sides=(),
            measures=(),
            faults=(),
            profile=PROFILES["smoke"],
            seed=1,
            out=Path(),
        )
