"""Blocks of faults on real parts: when a kill is stamped, whom it exposes, and what a noisy one tells."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from bench.blocks import fault as fault_block
from bench.faults import FAULTS
from bench.faults.processes import app_killed
from bench.faults.spec import Fault
from bench.faults.target import Target
from bench.ledger import reader
from bench.measures.events.history import histories
from bench.plan.profiles import PROFILES, Profile
from bench.plan.run_request import make_run_request
from bench.run import runner
from bench.schema import TABLES
from bench.stack.scenario_subject import ScenarioSubject
from bench.storage.run_directory import RunDirectory
from scenarios.jobs import ACCOUNT_SETUP

PROFILE = replace(PROFILES["smoke"], lanes=1)
#: Seconds that the jobs of a small load may take on a busy machine.
PATIENCE_S = 20.0


def strike(fault: Fault, side: str, out: Path, profile: Profile = PROFILE) -> RunDirectory:
    """One strike of the fault at the side, without a control run."""
    request = make_run_request(
        ScenarioSubject,
        scenarios=(),
        sides=(side,),
        measures=("fault",),
        faults=(),
        profile=replace(profile, faults=(fault.number,)),
        seed=1,
        out=out,
    )
    return runner.execute(replace(request, faults=[fault]), Console(quiet=True))


def aimed_at(directory: RunDirectory, table: str) -> dict[str, Any]:
    """The row of the scenario that the fault aims at."""
    rows = directory.table(table)
    (row,) = rows[rows["scenario"] == ACCOUNT_SETUP].to_dict("records")
    return {str(name): value for name, value in row.items()}


@pytest.fixture(scope="module")
def app_killed_when_busy(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A kill of the in-process app, on a machine that counts as too noisy for times whatever it does."""
    expected = {name: replace(one, drain_s=3.0) for name, one in FAULTS[10].expected.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.measures.latency.validity.HICCUP_P99_MS", 0.0)
        return strike(
            replace(FAULTS[10], expected=expected), "inprocess", tmp_path_factory.mktemp("app_killed")
        )


@pytest.mark.timeout(120)
def test_the_exposed_are_the_jobs_that_were_accepted_and_not_done_when_the_app_was_killed(
    app_killed_when_busy: RunDirectory,
) -> None:
    directory = app_killed_when_busy
    events, _ = reader.read_events(directory.path / "events-f10-0-inprocess.jsonl")
    (kill_ns,) = [event["t"] for event in events if event["event"] == "fault_on"]
    jobs = [job for job in histories(events).values() if job.scenario == ACCOUNT_SETUP]
    open_at_the_kill = [
        job.job
        for job in jobs
        if (job.first("accepted") or kill_ns + 1) <= kill_ns and (job.first("effect") or kill_ns) >= kill_ns
    ]
    row = aimed_at(directory, "exposure")
    assert row["strikes"] == 1
    assert row["exposed"] == len(open_at_the_kill) > 0
    assert row["lost"] == aimed_at(directory, "failures")["lost"] == row["exposed"]
    down_ns = range(kill_ns + 50_000_000, kill_ns + int(app_killed.DOWN_S * 1e9))
    written_by_the_app = {"accepted", "start", "done"}
    late = [event for event in events if event["event"] in written_by_the_app and event["t"] in down_ns]
    assert late == [], "the stamp is the kill and not the decision to kill: the app says nothing after it"


def all_done(events: list[dict[str, Any]]) -> bool:
    """Whether each job that was handed over, and there are some, has had its effect."""
    jobs = [job for job in histories(events).values() if job.first("submit") is not None]
    return bool(jobs) and all(job.first("effect") is not None for job in jobs)


@pytest.mark.timeout(180)
def test_a_kill_that_exposes_no_job_is_made_again_and_three_times_at_most(tmp_path: Path) -> None:
    moments: list[int] = []

    async def kill_when_all_is_done(target: Target) -> None:
        await asyncio.sleep(0.5)  # the last request is due at the end of the load, and has yet to arrive
        assert await target.until(all_done, within_s=PATIENCE_S)
        await target.stamp_kill()
        moments.append(len(target.events()))
        target.processes.parts["app"].kill()
        await target.processes.restart_app()

    brief = replace(FAULTS[10], after_load=True, load_s=1.5, latency_ms=200.0, linger_s=0.0)
    idle = replace(brief, strike=kill_when_all_is_done)
    directory = strike(idle, "inprocess", tmp_path)

    assert len(moments) == fault_block.MAX_STRIKES == 3
    row = aimed_at(directory, "exposure")
    assert (row["exposed"], row["lost"], row["strikes"]) == (0, 0, 3)
    assert len(directory.table("failures")) == 2, "the last strike alone is told"
    told = aimed_at(directory, "failures")
    assert told["accepted"] > 0
    assert (told["at_least_once"], told["as_predicted"]) == ("unknown", ""), "nothing was put to the test"


def test_how_many_jobs_are_under_way_says_whether_another_kill_may_find_one() -> None:
    def events(job: str, accepted: int, done: int | None) -> list[dict[str, Any]]:
        found = [{"event": "accepted", "scenario": "own", "job": job, "t": accepted}]
        return found + (
            [] if done is None else [{"event": "effect", "scenario": "own", "job": job, "t": done}]
        )

    jobs = [*events("a", 0, 50), *events("b", 40, 90), *events("c", 90, None), *events("later", 200, 300)]
    assert fault_block.mean_under_way(jobs, 0, 100) == pytest.approx((50 + 50 + 10) / 100)
    assert fault_block.mean_under_way(jobs, 100, 100) == 0.0
    assert fault_block.mean_under_way([], 0, 100) < fault_block.WORTH_A_KILL


@pytest.mark.timeout(120)
def test_times_of_a_block_are_left_out_where_the_machine_was_too_noisy_for_a_latency_block(
    app_killed_when_busy: RunDirectory,
) -> None:
    directory = app_killed_when_busy
    (block,) = directory.table("blocks").to_dict("records")
    assert block["valid"]
    assert block["untimed"].startswith("hiccups of ")
    assert block["hiccup_max_ms"] >= block["hiccup_p99_ms"] > 0
    assert block["steal_percent"] >= 0
    row = aimed_at(directory, "failures")
    assert all(pd.isna(row[name]) for name in ("late", "t_first_s", "t_90_s", "t_clear_s", "lag_max_ms"))
    assert row["accepted"] > 0
    assert row["as_predicted"] == "yes", "this one hangs on counts"
    assert list(directory.table("failures")) == list(TABLES["failures"])


def test_what_an_app_had_used_of_the_processor_until_it_was_killed_counts(
    app_killed_when_busy: RunDirectory,
) -> None:
    (own,) = app_killed_when_busy.table("own").to_dict("records")
    assert own["side_s"] > 0
    assert 0 < own["own_percent"] < 100


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_under_a_lease_one_of_two_in_process_replicas_ticks(tmp_path: Path) -> None:
    directory = strike(FAULTS[29], "inprocess", tmp_path)

    rows = directory.table("failures")
    row = rows[rows["fault"] == 29].iloc[0]
    assert row["bursts"] == 0
    assert row["as_predicted"] == "yes"
    ticked = int(str(row["seen"]).partition("ticks due ")[2].partition(";")[0])
    missed = int(str(row["seen"]).partition("missed ")[2].partition(";")[0])
    assert ticked > 10
    assert missed <= ticked / 4


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_with_its_buffer_the_hardened_queue_refuses_nothing_while_the_broker_is_away(tmp_path: Path) -> None:
    directory = strike(FAULTS[16], "celery-hardened", tmp_path)
    row = aimed_at(directory, "failures")
    assert (row["refused"], row["lost"]) == (0, 0)
    assert row["accepted"] == row["submitted"] == row["done_once"] + row["duplicated"]
