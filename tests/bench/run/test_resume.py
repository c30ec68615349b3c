"""Resume an interrupted run: what is kept, what is repeated, and what is refused."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from bench import faults
from bench.cli.commands import main
from bench.errors import BenchError
from bench.plan.blocks import NOT_OFFERED, RETRY_SUFFIX, retry_of
from bench.plan.plan_file import planned
from bench.plan.profiles import PROFILES
from bench.plan.run_plan import RunPlan, make_run_plan
from bench.plan.run_request import RunRequest, make_run_request
from bench.run import resume
from bench.schema import PLAN, SCHEMA_VERSION
from bench.stack.scenario_subject import ScenarioSubject
from bench.storage import environment
from bench.storage.run_directory import RunDirectory
from bench.storage.table_repair import mend
from tests import noise

#: Seconds that anything here may take to show.
PATIENCE_S = 60.0
COMMAND = ["queue-or-task", "run", "--resume", "here"]
WORDS = [
    "queue-or-task",
    "run",
    "--side",
    "inprocess",
    "--measure",
    "latency",
    "--profile",
    "smoke",
    "--seed",
    "7",
]
Begun = Callable[..., RunDirectory]


def order_for(out: Path, *, profile: str = "quick", **changes: Any) -> RunRequest:
    asked: dict[str, Any] = {"scenarios": (), "sides": (), "measures": (), "faults": (), "seed": 7}
    return make_run_request(ScenarioSubject, profile=PROFILES[profile], out=out, **{**asked, **changes})


@pytest.fixture
def begun(tmp_path: Path) -> Begun:
    """A run that has begun, as its manifest and plan say; `rows` are its blocks: (name, measure, valid)."""

    def make(order: RunRequest, rows: Iterable[tuple[str, str, bool]] = (), **changes: Any) -> RunDirectory:
        manifest: dict[str, Any] = {
            "command": WORDS,
            "machine": environment.machine(),
            "broker": "none needed",
        }
        manifest |= {"versions": environment.versions(), "finished_at": None, "interrupted": True, "seed": 7}
        run = RunDirectory.create(tmp_path, "smoke", {**manifest, **changes})  # type: ignore[typeddict-item]  # a plain dict
        (run.path / PLAN).write_text(planned(order, make_run_plan(order)))
        for name, measure, valid in rows:
            reason = "" if valid else "hiccups"
            row = {"block": name, "measure": measure, "valid": valid, "reason": reason}
            run.append("blocks", [row])
            run.append("jobs", [{"block": name, "job": "a/crm"}])
            (run.path / f"events-{name}.jsonl").write_text('{"t": 1, "event": "due"}\n')
        return run

    return make


def names(run_plan: RunPlan) -> list[str]:
    together = [spec for specs in run_plan.drift for spec in specs]
    return [spec.name for spec in (*run_plan.latency, *run_plan.further, *together, *run_plan.faults)]


def test_blocks_that_are_whole_are_kept_and_the_rest_is_left_to_do(tmp_path: Path, begun: Begun) -> None:
    order = order_for(tmp_path, measures=("latency",))
    run_plan = make_run_plan(order)
    whole = [spec.name for spec in run_plan.latency[:5]]
    run = begun(order, [(name, "latency", True) for name in whole])
    left = resume.prepare(run, run_plan, COMMAND)
    assert names(left) == [spec.name for spec in run_plan.latency[5:]]
    assert run.table("blocks")["block"].tolist() == run.table("jobs")["block"].tolist() == whole
    (noted,) = run.manifest["resumptions"]
    assert (noted["command"], noted["kept"], noted["redone"]) == (COMMAND, 5, [])
    assert noted["at"]
    assert set(noted["git"]) == {"commit", "dirty"}


def test_what_a_block_that_was_cut_off_left_is_taken_out_and_noted(tmp_path: Path, begun: Begun) -> None:
    order = order_for(tmp_path, measures=("latency",))
    run_plan = make_run_plan(order)
    whole, cut = run_plan.latency[0].name, run_plan.latency[1].name
    lines = [{"block": whole, "line": "kept"}, {"block": cut, "line": "goes"}, "of an earlier version"]
    run = begun(order, [(whole, "latency", True)], cut_lines=lines)
    run.append("jobs", [{"block": cut, "job": "b/crm"}])
    (run.path / f"events-{cut}.jsonl").write_text("half")
    (run.path / "work" / cut).mkdir(parents=True)
    (run.path / "comparisons.csv").write_text("made at the end\n")

    left = resume.prepare(run, run_plan, COMMAND)

    assert names(left)[0] == cut
    assert run.table("jobs")["block"].tolist() == [whole]
    assert [path.name for path in run.path.glob("events-*")] == [f"events-{whole}.jsonl"]
    assert not (run.path / "work").exists()
    assert not (run.path / "comparisons.csv").exists()
    assert run.manifest["cut_lines"] == [lines[0], lines[2]]
    assert run.manifest["resumptions"][0]["redone"] == [{"block": cut, "reason": resume.CUT_OFF}]


def test_a_block_whose_events_are_gone_is_not_whole(tmp_path: Path, begun: Begun) -> None:
    order = order_for(tmp_path, measures=("latency",))
    run_plan = make_run_plan(order)
    run = begun(order, [(spec.name, "latency", True) for spec in run_plan.latency[:2]])
    (run.path / f"events-{run_plan.latency[0].name}.jsonl").unlink()
    assert names(resume.prepare(run, run_plan, COMMAND))[0] == run_plan.latency[0].name
    assert run.table("blocks")["block"].tolist() == [run_plan.latency[1].name]


def test_a_further_block_that_did_not_count_is_tried_again_from_spares_of_its_own(
    tmp_path: Path, begun: Begun
) -> None:
    order = order_for(tmp_path, measures=("load",), profile="full")
    run_plan = make_run_plan(order)
    first, second, third = (spec.name for spec in run_plan.further[:3])
    rows = [
        (first, "capacity", False),
        (f"{first}-again", "capacity", True),
        (second, "capacity", False),
        (third, "capacity", True),
    ]
    left = resume.prepare(begun(order, rows), run_plan, COMMAND)
    assert names(left) == [f"{second}-again", *(spec.name for spec in run_plan.further[3:])]
    assert left.further_spares == run_plan.further_spares - 2
    assert left.spares == run_plan.spares


def test_a_block_that_could_not_be_offered_costs_no_spare(tmp_path: Path, begun: Begun) -> None:
    order = order_for(tmp_path, measures=("load",), profile="full")
    run_plan = make_run_plan(order)
    ramp, load = (
        next(spec for spec in run_plan.further if spec.measure == name) for name in ("capacity", "load")
    )
    run = begun(order, [(ramp.name, "capacity", True), (load.name, "load", False)])
    blocks = run.table("blocks").assign(reason=["", f"{NOT_OFFERED}no ramp of this side counts"])
    blocks.to_csv(run.path / "blocks.csv", index=False)
    left = resume.prepare(run, run_plan, COMMAND)
    assert load.name not in {name.removesuffix(RETRY_SUFFIX) for name in names(left)}
    assert left.further_spares == run_plan.further_spares


def test_latency_blocks_that_did_not_count_are_tried_again_while_there_are_spares(
    tmp_path: Path, begun: Begun
) -> None:
    run_plan = replace(make_run_plan(order_for(tmp_path, measures=("latency",))), spares=2)
    order = order_for(tmp_path, measures=("latency",))
    first, second, third = run_plan.latency[:3]
    rows = [(first.name, "latency", False), (retry_of(first).name, "latency", True)]
    rows += [(spec.name, "latency", False) for spec in (second, third)]
    left = resume.prepare(begun(order, rows), run_plan, COMMAND)
    assert names(left)[:2] == [retry_of(second).name, run_plan.latency[3].name], (
        "one spare was used, one is left"
    )
    assert left.spares == 0


def test_policies_that_ran_side_by_side_are_kept_or_done_again_together(tmp_path: Path, begun: Begun) -> None:
    order = order_for(tmp_path, measures=("drift",))
    run_plan = make_run_plan(order)
    (together,) = run_plan.drift
    run = begun(order, [(spec.name, "drift", True) for spec in together[1:]])
    assert names(resume.prepare(run, run_plan, COMMAND)) == [spec.name for spec in together]
    reasons = {one["reason"] for one in run.manifest["resumptions"][0]["redone"]}
    assert reasons == {resume.BESIDE}
    assert run.table("blocks").empty


def test_a_fault_block_that_failed_is_done_again_and_its_reason_is_kept(tmp_path: Path, begun: Begun) -> None:
    order = order_for(tmp_path, measures=("fault",), faults=(12,), sides=("celery",))
    run_plan = make_run_plan(order)
    bad, good = (spec.name for spec in run_plan.faults[:2])
    run = begun(order, [(bad, "fault", False), (good, "fault", True)])
    assert names(resume.prepare(run, run_plan, COMMAND)) == [
        bad,
        *(spec.name for spec in run_plan.faults[2:]),
    ]
    assert run.manifest["resumptions"][0]["redone"] == [{"block": bad, "reason": "hiccups"}]


@pytest.mark.parametrize(("text", "left"), [("{}", False), ('{"bench', True), (None, True)])
def test_call_costs_are_timed_again_unless_they_are_whole(
    tmp_path: Path,
    begun: Begun,
    text: str | None,
    left: bool,  # noqa: FBT001 - a case of the table
) -> None:
    order = order_for(tmp_path, measures=("micro",))
    run = begun(order)
    if text is not None:
        (run.path / "micro.json").write_text(text)
    assert resume.prepare(run, make_run_plan(order), COMMAND).micro is left


@given(cut=st.integers(min_value=1, max_value=200), kept=st.sets(st.integers(0, 9)))
def test_a_table_that_was_cut_anywhere_keeps_its_whole_rows_byte_for_byte(
    tmp_path_factory: pytest.TempPathFactory, cut: int, kept: set[int]
) -> None:
    path = tmp_path_factory.mktemp("table") / "blocks.csv"
    header, *rows = ["block,reason\r\n", *(f'{number},"a ""reason"", {number}"\r\n' for number in range(10))]
    path.write_text((header + "".join(rows))[:-cut], newline="")
    whole = path.read_bytes().decode().count("\n") - 1
    mend(path, lambda row: int(row["block"]) in kept)
    expected = header + "".join(row for number, row in enumerate(rows[: max(whole, 0)]) if number in kept)
    assert path.read_bytes().decode() == expected


def test_a_table_without_a_whole_header_goes(tmp_path: Path) -> None:
    path = tmp_path / "blocks.csv"
    path.write_text("block,mea")
    mend(path)
    assert not path.exists()
    mend(path)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"machine": {**environment.machine(), "cores": 4711}},
            "the run began with another machine (cores was 4711",
        ),
        (
            {"versions": {**environment.versions(), "celery": "0.1"}},
            "another version .celery was '0.1'",
        ),
        ({"broker": "redis-server"}, "another broker"),
    ],
)
def test_what_would_not_fit_what_was_measured_before_is_refused(
    tmp_path: Path, begun: Begun, changes: dict[str, Any], told: str
) -> None:
    order = order_for(tmp_path)
    run = begun(order, **changes)
    with pytest.raises(BenchError, match=told.replace("(cores", r"\(cores")):
        resume.check_same(run, order, make_run_plan(order), "none needed")


def test_a_plan_that_this_version_would_not_make_is_refused(tmp_path: Path, begun: Begun) -> None:
    order, other = order_for(tmp_path), order_for(tmp_path, seed=8)
    run = begun(order)
    resume.check_same(run, order, make_run_plan(order), "none needed")
    with pytest.raises(BenchError, match="plans other blocks or moments"):
        resume.check_same(run, other, make_run_plan(other), "none needed")
    (run.path / PLAN).unlink()
    with pytest.raises(BenchError, match=r"no readable plan\.json"):
        resume.check_same(run, order, make_run_plan(order), "none needed")


def test_the_plan_names_every_block_and_every_moment(tmp_path: Path) -> None:
    order = order_for(tmp_path, profile="full")
    run_plan = make_run_plan(order)
    plan = json.loads(planned(order, run_plan))
    assert set(names(run_plan)) == {
        *plan["latency"],
        *plan["further"],
        *chain(*plan["drift"]),
        *plan["faults"],
    }
    assert {fault["strike_ns"] > 0 for fault in plan["faults"].values()} == {True}
    assert {spec.fault.number for spec in run_plan.faults if spec.fault} == set(faults.FAULTS)


def call(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, list(words))
    return done.exit_code, done.output


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"schema": 0}, f"has schema 0, this version writes {SCHEMA_VERSION}"),
        ({"command": ["queue-or-task", "verify"]}, "was not made by `queue-or-task run`"),
        ({"machine": {"cores": 4711}}, "another machine"),
    ],
)
def test_the_command_line_refuses_in_one_line(
    tmp_path: Path, begun: Begun, changes: dict[str, Any], told: str
) -> None:
    run = begun(order_for(tmp_path))
    run.save_manifest(**changes)
    before = sorted(path.name for path in run.path.iterdir())
    code, printed = call("run", "--resume", str(run.path))
    assert (code, printed.count("\n")) == (2, 1)
    assert told in printed
    assert sorted(path.name for path in run.path.iterdir()) == before


def test_other_options_beside_resume_are_refused_by_name(tmp_path: Path, begun: Begun) -> None:
    path = str(begun(order_for(tmp_path)).path)
    for words in (["--seed", "1"], ["--profile", "quick"], ["--side", "inline"], ["--out", str(tmp_path)]):
        code, printed = call("run", "--resume", path, *words)
        assert code == 2
        assert f"takes every option from the run's own run.json: leave out {words[0]}" in printed


def test_a_folder_that_is_no_run_cannot_be_resumed(tmp_path: Path) -> None:
    code, printed = call("run", "--resume", str(tmp_path))
    assert code == 2
    assert "is not a complete run" in printed


def test_a_complete_run_has_nothing_left_to_do(tmp_path: Path, begun: Begun) -> None:
    run = begun(order_for(tmp_path), interrupted=False, finished_at="2026-01-01T00:00:00+00:00")
    code, printed = call("run", "--resume", str(run.path))
    assert code == 0
    assert printed.startswith("nothing to do: ")
    assert "resumptions" not in RunDirectory.open(run.path).manifest


def test_a_run_that_is_under_way_cannot_be_resumed(tmp_path: Path, begun: Begun) -> None:
    run = begun(order_for(tmp_path, profile="smoke", sides=("inprocess",), measures=("latency",)))
    with run.claimed():
        code, printed = call("run", "--resume", str(run.path))
    assert code == 2
    assert "is being measured by another process" in printed


def run_program(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bench", "run", *words],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "REDIS_URL"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_for(run: subprocess.Popen[str], look: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not look():
        assert run.poll() is None, run.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("number", "beside"),
    [
        pytest.param(signal.SIGINT, "latency", id="ctrl-c"),
        pytest.param(signal.SIGKILL, "fault", id="kill -9", marks=pytest.mark.slow),
    ],
)
def test_a_run_that_was_cut_off_is_resumed_to_the_result_of_one_that_was_not(
    tmp_path: Path, number: signal.Signals, beside: str
) -> None:
    words = shlex.split(f"--profile smoke --seed 7 --out results --measure latency --measure {beside}")
    first = run_program(tmp_path, "--side", "inprocess", "--side", "inline", *words)
    whole = "events-r00-inprocess.jsonl"
    wait_for(first, lambda: list(tmp_path.glob(f"results/*/{whole}")))
    (path,) = {found.parent.resolve() for found in tmp_path.glob(f"results/*/{whole}")}
    wait_for(first, lambda: list(path.glob("work/r00-inline/generator.json")))
    events, plan = (path / whole).read_bytes(), (path / PLAN).read_bytes()
    os.kill(first.pid, number)
    printed, _ = first.communicate()
    if number == signal.SIGINT:
        assert first.returncode == 130
        assert printed.splitlines()[-1] == f"to resume it: queue-or-task run --resume results/{path.name}"

    second = run_program(tmp_path, "--resume", f"results/{path.name}")
    printed, _ = second.communicate()

    noise.check_run(second.returncode, printed)
    assert "blocks kept: 1" in printed
    manifest = json.loads((path / "run.json").read_text())
    assert manifest["finished_at"]
    assert not manifest["interrupted"]
    (noted,) = manifest["resumptions"]
    assert noted["command"] == ["queue-or-task", "run", "--resume", f"results/{path.name}"]
    assert (path / PLAN).read_bytes() == plan
    assert (path / whole).read_bytes() == events, "what was whole is as it was"
    blocks = pd.read_csv(path / "blocks.csv")["block"].tolist()
    made = json.loads(plan)
    assert sorted(blocks) == sorted([*made["latency"], *made["further"], *made["faults"]])
    jobs = pd.read_csv(path / "jobs.csv")
    assert len(set(jobs.groupby("block")["job"].count())) == 1, "each side was offered the same load"
    assert not jobs.duplicated(["block", "job"]).any()
    assert (path / "report.html").exists()
    assert not (path / "work").exists()

    third = run_program(tmp_path, "--resume", "results/latest")
    printed, _ = third.communicate()
    assert (third.returncode, "nothing to do" in printed) == (0, True)
