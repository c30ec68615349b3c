"""Run Celery's integration suite on each side and print pytest's own closing lines.

    .venv/bin/python -m bench.celery_suite [--pool prefork] [--pool aio] [what pytest takes, such as -k chord]

The sides are `redis`, which is stock Celery over `redis://` with a worker whose pool is prefork;
`in-process`; and for each `--pool` one over `lease+redis://` with `Sidekiq(app)` and a worker with that pool.
All run at the same time, each with its own Redis, in about twenty minutes. Exit code 0 if each side passes
every case that `redis` passes, except those that cannot apply (`outcome`); else 1; 2 if the suite is not
available.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import celery
import click

from bench.celery_suite.outcome import Outcome, beyond, cannot_apply, is_enough, read
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
REDIS: Final = "redis"
IN_PROCESS: Final = "in-process"
#: What the name of a side over `lease+redis://` begins with; the pool follows.
LEASE: Final = "lease "


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]})
@click.option(
    "--pool", "pools", multiple=True, default=("prefork",), show_default=True, help="A worker pool."
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def main(pools: tuple[str, ...], arguments: tuple[str, ...]) -> None:
    """Run all sides, and compare them with `redis`. ARGUMENTS are pytest's."""
    sides = (REDIS, IN_PROCESS, *(f"{LEASE}{pool}" for pool in dict.fromkeys(pools)))
    try:
        source = _source()
        _needs()
        outcomes = _run(sides, source, arguments)
    except (SuiteError, BrokerError) as error:
        click.echo(f"celery-suite: {error}", err=True)
        sys.exit(2)
    for side, outcome in outcomes.items():
        click.echo(f"{side:>14}: {outcome.closing}")
    redis = outcomes.pop(REDIS)
    for side, ours in outcomes.items():
        _report(side, ours, redis)
    sys.exit(not all(is_enough(side, ours, redis) for side, ours in outcomes.items()))


def _report(side: str, ours: Outcome, redis: Outcome) -> None:
    for test in sorted(ours.failed):
        click.echo(f"  {side} fails {test}: {_why(side, test, redis)}")
    for test in sorted(redis.failed - ours.failed):
        click.echo(f"  redis fails {test}, {side} does not")
    told = f"of the {redis.passed} that Redis passes {len(beyond(side, ours, redis))} cannot apply"
    click.echo(f"{side} passes {ours.passed}; {told}")


def _why(side: str, test: str, redis: Outcome) -> str:
    if test in redis.failed:
        return "as Redis with a worker does"
    return cannot_apply(side).get(test, "UNEXPLAINED")


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


def _run(sides: tuple[str, ...], source: Path, arguments: tuple[str, ...]) -> dict[str, Outcome]:
    """Run all sides at the same time."""
    env = {"PATH": os.environ.get("PATH", "")}  # not REDIS_URL: the suite deletes keys as it likes
    brokers = [Broker.start(CACHE / f"redis-{side.replace(' ', '-')}", env=env) for side in sides]
    try:
        started = [
            _start(side, broker, source, arguments) for side, broker in zip(sides, brokers, strict=True)
        ]
        for process in started:
            process.wait()
    finally:
        for broker in brokers:
            broker.stop()
    return {side: read(_log(side)) for side in sides}


def _start(side: str, broker: Broker, source: Path, arguments: tuple[str, ...]) -> subprocess.Popen[bytes]:
    host, _, port = broker.url.removeprefix("redis://").partition("/")[0].partition(":")
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(CACHE / "lib")]),
        "REDIS_HOST": host,
        "REDIS_PORT": port,
        # In-process, an app's broker and backend are not called, whatever they are.
        "TEST_BROKER": broker.url,
        "TEST_BACKEND": broker.url,
        "WORKER_LOGLEVEL": "INFO",  # two cases read the log
    }
    plugin = [] if side == REDIS else ["-p", "bench.celery_suite.in_process_plugin"]
    if side.startswith(LEASE):
        plugin = ["-p", "bench.celery_suite.lease_plugin"]
        env |= {"TEST_BROKER": f"lease+{broker.url}", "CELERY_SUITE_POOL": side.removeprefix(LEASE)}
    command = [
        sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "celery.contrib.pytest", *plugin,
        f"--timeout={TEST_TIMEOUT_S}", "--timeout-method=signal", "-q", "-rfE", *FILES, *arguments,
    ]  # fmt: skip
    with _log(side).open("wb") as log:
        return subprocess.Popen(command, cwd=source, env=env, stdout=log, stderr=subprocess.STDOUT)


def _log(side: str) -> Path:
    return CACHE / f"{side.replace(' ', '-')}.log"


if __name__ == "__main__":
    main()
