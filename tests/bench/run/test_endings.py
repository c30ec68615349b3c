"""How a run ends that does not come to its end, and one in which nothing counts."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest
from click.testing import CliRunner
from rich.console import Console

from bench.blocks.context import Context
from bench.cli.commands import main
from bench.errors import BenchError
from bench.plan.deployment import ALL_HERE
from bench.plan.profiles import PROFILES
from bench.plan.run_plan import make_run_plan
from bench.plan.run_request import RunRequest, make_run_request
from bench.process.process_table import ProcessTable
from bench.run import resume, runner
from bench.stack.scenario_subject import ScenarioSubject
from bench.storage import disk_space
from bench.storage.manifest import manifest
from bench.storage.run_directory import RunDirectory

#: Bytes of the small disk: what a run needs to begin, and a little.
DISK_MB = disk_space.FREE_BYTES_NEEDED // 1_000_000 + 40
PATIENCE_S = 90.0


@dataclass(frozen=True, slots=True)
class Broken(ScenarioSubject):
    """Scenarios whose side cannot be made."""

    def make_stack(self, *_: Any) -> NoReturn:
        error: Exception = ERRORS[self.scenarios[0]]
        raise error


#: What goes wrong, by the scenario that is asked for.
ERRORS = {
    "account_setup": KeyError("no such thing"),
    "welcome_email": OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
}


def request(out: Path, scenario: str, subject: type[ScenarioSubject] = Broken) -> RunRequest:
    return make_run_request(
        subject,
        scenarios=(scenario,),
        sides=("inprocess",),
        measures=("latency",),
        faults=(),
        profile=PROFILES["smoke"],
        seed=1,
        out=out,
    )


def test_an_error_of_the_harness_ends_the_run_with_its_traceback_and_it_can_be_resumed(
    tmp_path: Path,
) -> None:
    said = io.StringIO()
    with pytest.raises(KeyError, match="no such thing"):
        runner.execute(request(tmp_path, "account_setup"), Console(file=said))
    run = RunDirectory.open((tmp_path / "latest").resolve())
    assert run.table("blocks").empty, "an error of the harness is no invalid block"
    assert (run.manifest["finished_at"], run.manifest["stopped_by"]) == (None, "error")
    assert not resume.is_complete(run)
    assert f"queue-or-task run --resume {run.path}" in said.getvalue().replace("\n", "")


def test_a_full_disk_ends_the_run_with_one_line_and_what_it_holds(tmp_path: Path) -> None:
    said = io.StringIO()
    run = runner.execute(request(tmp_path, "welcome_email"), Console(file=said, width=500))
    assert f"the disk of {run.path} is full: what was measured so far is kept" in said.getvalue()
    assert run.table("blocks").empty
    assert (run.manifest["finished_at"], run.manifest["stopped_by"]) == (None, "full disk")


def test_a_run_in_which_nothing_counts_says_so_first_and_exits_with_1(tmp_path: Path) -> None:
    words = (
        "run",
        "--profile",
        "smoke",
        "--side",
        "inprocess",
        "--measure",
        "latency",
        "--out",
        str(tmp_path),
    )
    done = CliRunner().invoke(main, words, env={"QUEUE_OR_TASK_SYNC_POLICY": "no-such-policy"})
    assert done.exit_code == 1, done.output
    assert done.stderr.startswith(
        "queue-or-task: nothing counted: 1 of 1 blocks are invalid; r00-inprocess: "
    )
    assert json.loads((tmp_path / "latest" / "run.json").read_text())["finished_at"], "it came to its end"


def test_a_block_that_fails_leaves_neither_its_generator_nor_another_process_running(tmp_path: Path) -> None:
    asked = request(tmp_path, "welcome_email", ScenarioSubject)
    directory = RunDirectory.create(tmp_path, "smoke", manifest(asked, "", ALL_HERE))
    (spec,) = make_run_plan(asked).latency

    async def block(context: Context) -> Any:
        plan = context.load(spec, seconds=60.0)
        with contextlib.suppress(BenchError):
            async with context.make_stack(spec) as stack:
                generator, _ = await context.start_generator(stack, plan, lead_s=60.0)
                assert generator.exit_code() is None
                raise BenchError("in the middle")
        return generator

    with ProcessTable() as table:
        context = Context(
            directory=directory, table=table, profile=asked.profile, seed=1, subject=asked.subject
        )
        generator = asyncio.run(block(context))
        assert generator.exit_code() is not None
        assert table.started_in(context.folder(spec)) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own."""
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if mount is None or umount is None:
        pytest.skip("no mount")
    command = [mount, "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(tmp_path)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a disk")
    yield tmp_path
    subprocess.run([umount, str(tmp_path)], check=True)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_disk_that_fills_mid_run_keeps_whole_blocks_and_the_run_is_resumed_when_there_is_room(
    small_disk: Path,
) -> None:
    words = ("--profile", "smoke", "--side", "inprocess", "--side", "inline", "--measure", "latency")
    command = [sys.executable, "-m", "bench", "run", *words, "--out", str(small_disk / "results")]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + PATIENCE_S
    while not list(small_disk.glob("results/*/blocks.csv")):
        assert run.poll() is None, run.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    ballast = small_disk / "ballast"
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(small_disk).free - 4096)
    printed, _ = run.communicate()

    assert run.returncode == 1, printed
    assert "is full: what was measured so far is kept" in printed
    latest = RunDirectory.open((small_disk / "results" / "latest").resolve())
    assert latest.table("blocks")["block"].tolist() == ["r00-inprocess"]
    assert "Traceback" not in printed
    assert (latest.path / "report.html").exists()
    assert "No space" not in printed

    ballast.unlink()
    done = CliRunner().invoke(main, ["run", "--resume", str(latest.path)])
    assert "blocks kept: 1" in done.stdout
    assert RunDirectory.open(latest.path).table("blocks")["block"].tolist() == ["r00-inprocess", "r00-inline"]
