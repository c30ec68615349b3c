"""Call costs, timed by pytest-benchmark in a process of its own, into the run's `micro.json`."""

from __future__ import annotations

import os
from pathlib import Path

from bench.blocks.context import Context
from bench.errors import BenchError
from bench.schema import MICRO
from queue_or_task import module_command

#: Seconds that all of it may take.
LIMIT_S = 120.0
SUITE = Path(__file__).parent.parent / "micro" / "test_calls.py"


def command(target: Path, scratch: Path) -> list[str]:
    """The command that times the calls and writes `target`; its temporary files go to `scratch`.

    The suite may be installed inside the caller's project: neither its pytest settings nor its plugins apply.
    """
    return module_command(
        *("pytest", str(SUITE), "-q", "-p", "no:cacheprovider", "-p", "pytest_benchmark.plugin"),
        *("-c", os.devnull, f"--rootdir={SUITE.parent}", f"--confcutdir={SUITE.parent}"),
        *("--import-mode=importlib", f"--basetemp={scratch}"),
        *("--benchmark-only", f"--benchmark-json={target}"),
    )


async def run(context: Context) -> None:
    """Time the calls; raise BenchError with the end of the output where that fails."""
    folder = context.directory.path / "work" / "micro"
    folder.mkdir(parents=True)
    target = context.directory.path / MICRO
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    process = context.table.start("micro", command(target, folder / "tmp"), env=env, folder=folder)
    await process.ended(within_s=LIMIT_S)
    code = process.exit_code()
    await context.table.stop(process)
    if code != 0:
        raise BenchError(f"the call costs were not timed (exit {code}): {process.tail(1)}")
