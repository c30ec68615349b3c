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

ROOT = Path(__file__).parents[3]
#: What makes one interpreter unlike another: the order of its sets, its locale, its time zone, its folder.
WORLDS = (
    {"PYTHONHASHSEED": "0", "LC_ALL": "C", "TZ": "UTC"},
    {"PYTHONHASHSEED": "1", "LC_ALL": "C.UTF-8", "TZ": "Asia/Tokyo"},
    {"PYTHONHASHSEED": "4294967295", "PYTHONOPTIMIZE": "1", "TZ": "America/Caracas"},
    {"PYTHONHASHSEED": "random"},
)
#: Prints what a run would do, and the whole load of every latency round and every fault block.
PROGRAM = """
import sys
from pathlib import Path
from bench.plan.run_plan import make_run_plan
from bench.plan import strikes
from bench.plan.run_request import make_run_request
from bench.load.load_plan import make_load_plan
from bench.plan.plan_file import planned
from bench.plan.profiles import PROFILES
from bench.stack.scenario_subject import ScenarioSubject
profile, seed = PROFILES[sys.argv[1]], int(sys.argv[2])
asked = {"scenarios": (), "sides": (), "measures": (), "faults": (), "out": Path()}
request = make_run_request(ScenarioSubject, profile=profile, seed=seed, **asked)
run_plan = make_run_plan(request)
sys.stdout.write(planned(request, run_plan))
for spec in run_plan.faults:
    sys.stdout.write(strikes.strike_plan(spec, seed, request.subject).plan.to_json())
rates = {"welcome_email": profile.rate, "account_setup": profile.rate}
sys.stdout.write(make_load_plan(seed=seed, prefix="r00", rates=rates, seconds=9.0, owners=3).to_json())
"""


def text(folder: Path, world: dict[str, str], profile: str, seed: int) -> bytes:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **world}
    command = [sys.executable, "-c", PROGRAM, profile, str(seed)]
    return subprocess.run(command, env=env, cwd=folder, capture_output=True, check=True).stdout


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_every_process_makes_the_same_bytes_of_a_seed(tmp_path: Path, profile: str) -> None:
    texts = {text(tmp_path, world, profile, 7) for world in WORLDS}
    assert len(texts) == 1
    (made,) = texts
    assert len(made) > 10_000


def test_another_seed_moves_every_strike_and_every_request(tmp_path: Path) -> None:
    one, other = (text(tmp_path, WORLDS[0], "quick", seed).decode() for seed in (7, 8))
    plans = [json.JSONDecoder().raw_decode(made)[0] for made in (one, other)]
    moved = [plan["faults"] for plan in plans]
    assert moved[0].keys() == moved[1].keys()
    assert all(moved[0][name]["load_sha256"] != moved[1][name]["load_sha256"] for name in moved[0])
    strikes = [{name: fault["strike_ns"] for name, fault in faults.items()} for faults in moved]
    still = {name for name in strikes[0] if strikes[0][name] == strikes[1][name]}
    after_load = {f"f{number:02}" for number, fault in FAULTS.items() if fault.after_load}
    assert {name.partition("-")[0] for name in still} <= after_load, "only these strike at a set moment"


def test_the_sides_of_a_strike_share_its_moment(tmp_path: Path) -> None:
    made = text(tmp_path, WORLDS[0], "full", 7).decode()
    faults = json.JSONDecoder().raw_decode(made)[0]["faults"]
    moments: dict[tuple[str, ...], set[int]] = {}
    for name, fault in faults.items():
        moments.setdefault(tuple(name.split("-")[:2]), set()).add(fault["strike_ns"])
    assert {len(found) for found in moments.values()} == {1}
