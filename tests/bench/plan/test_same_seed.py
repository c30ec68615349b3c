"""The same seed gives the same plan and the same fault moments, byte for byte, in every process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.faults import FAULTS
from bench.plan.profiles import PROFILES

#: The first test waits for four programs that make plans.
pytestmark = pytest.mark.timeout(180)
ROOT = Path(__file__).parents[3]
#: What makes one interpreter unlike another: the order of its sets, its locale, its time zone, its folder.
WORLDS = (
    {"PYTHONHASHSEED": "0", "LC_ALL": "C", "TZ": "UTC"},
    {"PYTHONHASHSEED": "1", "LC_ALL": "C.UTF-8", "TZ": "Asia/Tokyo"},
    {"PYTHONHASHSEED": "4294967295", "PYTHONOPTIMIZE": "1", "TZ": "America/Caracas"},
    {"PYTHONHASHSEED": "random"},
)
#: The plans that each of them makes: a profile and a seed. That of `full` takes five seconds: two make it.
ASKED = (("smoke", 7), ("quick", 7), ("quick", 8), ("full", 7))
MAKE_FULL = (0, 2)
#: Prints what a run would do, with the moment and a hash of the load of every fault block, and the load of a
#: latency round, for each profile and seed; a zero byte ends each.
PROGRAM = """
import sys
from pathlib import Path
from bench.plan.run_plan import make_run_plan
from bench.plan.run_request import make_run_request
from bench.load.load_plan import make_load_plan
from bench.plan.plan_file import planned
from bench.plan.profiles import PROFILES
from bench.stack.scenario_subject import ScenarioSubject
asked = {"scenarios": (), "sides": (), "measures": (), "faults": (), "out": Path()}
for name, number in zip(sys.argv[1::2], sys.argv[2::2]):
    profile, seed = PROFILES[name], int(number)
    request = make_run_request(ScenarioSubject, profile=profile, seed=seed, **asked)
    run_plan = make_run_plan(request)
    sys.stdout.write(planned(request, run_plan))
    rates = {"welcome_email": profile.rate, "account_setup": profile.rate}
    sys.stdout.write(make_load_plan(seed=seed, prefix="r00", rates=rates, seconds=9.0, owners=3).to_json())
    sys.stdout.write("\\0")
"""


PlansByCommand = dict[tuple[str, int], list[str]]


@pytest.fixture(scope="module")
def plans_by_command(tmp_path_factory: pytest.TempPathFactory) -> PlansByCommand:
    """What each environment plans for each profile and seed."""
    found: PlansByCommand = {asked: [] for asked in ASKED}
    for number, world in enumerate(WORLDS):
        asked = ASKED if number in MAKE_FULL else ASKED[:-1]
        words = [str(word) for one in asked for word in one]
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **world}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *words],
            env=env,
            cwd=tmp_path_factory.mktemp("world"),
            capture_output=True,
            check=True,
        )
        for one, text in zip(asked, done.stdout.decode().split("\0")[:-1], strict=True):
            found[one].append(text)
    return found


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_every_process_makes_the_same_bytes_of_a_seed(plans_by_command: PlansByCommand, profile: str) -> None:
    texts = plans_by_command[profile, 7]
    assert len(texts) == len(MAKE_FULL if profile == "full" else WORLDS)
    (text,) = set(texts)
    assert len(text) > 10_000


def test_another_seed_moves_every_strike_and_every_request(plans_by_command: PlansByCommand) -> None:
    plans = [json.JSONDecoder().raw_decode(plans_by_command["quick", seed][0])[0] for seed in (7, 8)]
    moved = [plan["faults"] for plan in plans]
    assert moved[0].keys() == moved[1].keys()
    assert all(moved[0][name]["load_sha256"] != moved[1][name]["load_sha256"] for name in moved[0])
    strikes = [{name: fault["strike_ns"] for name, fault in faults.items()} for faults in moved]
    still = {name for name in strikes[0] if strikes[0][name] == strikes[1][name]}
    after_load = {f"f{number:02}" for number, fault in FAULTS.items() if fault.after_load}
    assert {name.partition("-")[0] for name in still} <= after_load, "only these strike at a set moment"


def test_the_sides_of_a_strike_share_its_moment(plans_by_command: PlansByCommand) -> None:
    faults = json.JSONDecoder().raw_decode(plans_by_command["full", 7][0])[0]["faults"]
    moments: dict[tuple[str, ...], set[int]] = {}
    for name, fault in faults.items():
        moments.setdefault(tuple(name.split("-")[:2]), set()).add(fault["strike_ns"])
    assert {len(found) for found in moments.values()} == {1}
