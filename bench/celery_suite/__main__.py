"""Run Celery's integration suite on both sides and print pytest's own closing lines.

    .venv/bin/python -m bench.celery_suite [what pytest takes, such as -k chord]

Both sides run at the same time, each with its own Redis, in about twenty minutes. Exit code 0 if
in-process passes every case that Redis with a worker passes, except those of CANNOT_APPLY; else 1;
2 if the suite is not available.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import celery
import click

from bench.celery_suite.outcome import CANNOT_APPLY, Outcome, beyond, is_enough, read
from bench.celery_suite.releases import SuiteError, pip, unpacked
from bench.world.broker import Broker, BrokerError

ROOT: Final = Path(__file__).parent.parent.parent
CACHE: Final = ROOT / ".cache" / "celery-suite"
#: The files of the suite that are about tasks and the canvas.
FILES: Final = ("t/integration/test_tasks.py", "t/integration/test_canvas.py")
#: Packages that the suite's tasks import and this project does not need.
NEEDS: Final = ("pydantic",)
#: Seconds that one test may take: the longest waits for two minutes by itself.
TEST_TIMEOUT_S: Final = 900
SIDES: Final = ("redis", "in-process")


def main(arguments: list[str]) -> int:
    """Run both sides; the exit code."""
    try:
        source = _source()
        _needs()
        outcomes = _run(source, arguments)
    except (SuiteError, BrokerError) as error:
        click.echo(f"celery-suite: {error}", err=True)
        return 2
    for side, outcome in outcomes.items():
        click.echo(f"{side:>10}: {outcome.closing}")
    redis, ours = outcomes["redis"], outcomes["in-process"]
    for test in sorted(ours.failed):
        click.echo(f"  in-process fails {test}: {_why(test, redis)}")
    for test in sorted(redis.failed - ours.failed):
        click.echo(f"  redis fails {test}, in-process does not")
    told = f"of the {redis.passed} that Redis passes {len(beyond(ours, redis))} cannot apply in-process"
    click.echo(f"in-process passes {ours.passed}; {told}")
    return 0 if is_enough(ours, redis) else 1


def _why(test: str, redis: Outcome) -> str:
    if test in redis.failed:
        return "as Redis with a worker does"
    return CANNOT_APPLY.get(test, "UNEXPLAINED")


def _source() -> Path:
    """The unpacked source release of the installed version."""
    given = os.environ.get("CELERY_SOURCE")
    try:
        folder = Path(given) if given else unpacked("celery", celery.__version__, CACHE)
    except SuiteError as error:
        raise SuiteError(f"{error}; or set CELERY_SOURCE to an unpacked source release") from error
    if not (folder / FILES[0]).exists():
        raise SuiteError(f"{folder} holds no {FILES[0]}: set CELERY_SOURCE to an unpacked source release")
    return folder


def _needs() -> None:
    if not (CACHE / "lib").exists():
        pip("install", "--target", str(CACHE / "lib"), *NEEDS)


def _run(source: Path, arguments: list[str]) -> dict[str, Outcome]:
    """Run both sides at the same time."""
    env = {"PATH": os.environ.get("PATH", "")}  # not REDIS_URL: the suite deletes keys as it likes
    brokers = [Broker.start(CACHE / f"redis-{side}", env=env) for side in SIDES]
    try:
        started = [
            _start(side, broker, source, arguments) for side, broker in zip(SIDES, brokers, strict=True)
        ]
        for process in started:
            process.wait()
    finally:
        for broker in brokers:
            broker.stop()
    return {side: read(_log(side)) for side in SIDES}


def _start(side: str, broker: Broker, source: Path, arguments: list[str]) -> subprocess.Popen[bytes]:
    host, _, port = broker.url.removeprefix("redis://").partition("/")[0].partition(":")
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(CACHE / "lib")]),
        "REDIS_HOST": host,
        "REDIS_PORT": port,
        # One set-up for both: in-process, an app's broker and backend are not called, whatever they are.
        "TEST_BROKER": broker.url,
        "TEST_BACKEND": broker.url,
        "WORKER_LOGLEVEL": "INFO",  # two cases read the log
    }
    plugin = [] if side == "redis" else ["-p", "bench.celery_suite.plugin"]
    command = [
        sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "celery.contrib.pytest", *plugin,
        f"--timeout={TEST_TIMEOUT_S}", "--timeout-method=signal", "-q", "-rfE", *FILES, *arguments,
    ]  # fmt: skip
    with _log(side).open("wb") as log:
        return subprocess.Popen(command, cwd=source, env=env, stdout=log, stderr=subprocess.STDOUT)


def _log(side: str) -> Path:
    return CACHE / f"{side}.log"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
