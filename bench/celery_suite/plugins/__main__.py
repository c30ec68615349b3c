"""Run the suites of the plug-ins on three sides and print what each passes.

    .venv/bin/python -m bench.celery_suite.plugins [names of plug-ins]

Exit code 0 if neither in-process nor `Sidekiq(app)` fails a case that stock Celery passes, but for the
exceptions in `suites`; else 1; 2 for an unknown name or where a suite is not available; 130 after Ctrl-C, 143
after SIGTERM. No process outlives it.
"""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import click

from bench.celery_suite.outcome import Outcome, read
from bench.celery_suite.plugins.suites import NEEDS, SUITES, Suite
from bench.celery_suite.releases import SuiteError, pip, unpacked
from bench.errors import EXIT_INTERRUPTED
from bench.process.process_table import ProcessTable
from bench.process.signals import interrupted_by_signals
from bench.world.broker import Broker, BrokerError

ROOT: Final = Path(__file__).parents[3]
CACHE: Final = ROOT / ".cache" / "celery-plugins"
SIDES: Final = ("stock", "in-process", "sidekiq")
#: Seconds that one test may take, and one suite at one side.
TEST_TIMEOUT_S: Final = 60
SUITE_TIMEOUT_S: Final = 600
#: Seconds between two looks at whether a suite has ended.
LOOK_S: Final = 0.2


def main(names: list[str]) -> int:
    """Run the suites; the exit code."""
    known = {suite.name: suite for suite in SUITES}
    if unknown := [name for name in names if name not in known]:
        click.echo(f"celery-plugins: {unknown[0]} is none of {', '.join(known)}", err=True)
        return 2
    failed = False
    with interrupted_by_signals() as received:
        try:
            _install()
            for suite in SUITES:
                if not names or suite.name in names:
                    failed |= not _compare(suite)
        except (SuiteError, BrokerError) as error:
            click.echo(f"celery-plugins: {error}", err=True)
            return 2
        except KeyboardInterrupt:
            click.echo(f"celery-plugins: interrupted; what the suites printed is in {CACHE}", err=True)
            return 128 + received[0] if received else EXIT_INTERRUPTED
    return 1 if failed else 0


def _compare(suite: Suite) -> bool:
    """Run a suite on each side and print the outcomes; return whether no case fails for a reason of ours."""
    source = _source(suite)
    if source is None:
        click.echo(
            f"{suite.name}: its release has no tests; set CELERY_PLUGINS_SOURCE to a folder with its checkout"
        )
        return True
    # in this order: the table kills the processes, and then no thread waits for one
    with ThreadPoolExecutor(len(SIDES)) as pool, ProcessTable() as table:
        found = pool.map(lambda side: _run(suite, side, source, table), SIDES)
        outcomes = dict(zip(SIDES, found, strict=True))
    click.echo(suite.name)
    for side, outcome in outcomes.items():
        click.echo(f"  {side:>10}: {outcome.closing}")
    fine = True
    stock = outcomes["stock"]
    for side in SIDES[1:]:
        known = suite.exceptions.get(side, {})
        for test in sorted(outcomes[side].failed - stock.failed):
            why = next((reason for part, reason in known.items() if part in test), "")
            fine &= bool(why)
            click.echo(f"  {side} fails {test}: {why or 'UNEXPLAINED'}")
        fine &= bool(outcomes[side].passed) or not stock.passed
    return fine


def _install() -> None:
    """Install what the suites need beside our own environment, once."""
    done = CACHE / "lib" / ".installed"
    needs = sorted({*NEEDS, *(need for suite in SUITES for need in suite.needs)})
    if done.exists() and done.read_text() == "\n".join(needs):
        return
    pins = str(ROOT / "constraints.txt")  # what we have too is of our version: it comes first on the path
    pip("install", "--upgrade", "--constraint", pins, "--target", str(CACHE / "lib"), *needs)
    done.write_text("\n".join(needs))


def _source(suite: Suite) -> Path | None:
    """The unpacked source with its tests; None where there is none."""
    given = os.environ.get("CELERY_PLUGINS_SOURCE")
    if given and (Path(given) / suite.name).exists():
        return Path(given) / suite.name
    if not suite.in_release:
        return None
    return unpacked(suite.name, suite.version, CACHE)


def _run(suite: Suite, side: str, source: Path, table: ProcessTable) -> Outcome:
    name = f"{suite.name}-{side}"
    log = CACHE / f"{name}.log"
    log.unlink(missing_ok=True)
    env = {"PATH": os.environ.get("PATH", "")}  # not REDIS_URL: a suite deletes keys as it likes
    with Broker.start(CACHE / f"redis-{side}", env=env) as broker:
        server = broker.pid
        table.adopt(server)
        known = {name: value.format(redis=broker.url) for name, value in suite.env.items()}
        if side == "in-process" and not suite.has_workers:
            known["CELERY_BROKER_URL"] = "inprocess://"
        source_path = source / "src" if (source / "src").exists() else source
        path = os.pathsep.join(map(str, (source_path, source, ROOT, CACHE / "lib")))
        command = [
            sys.executable, "-m", "pytest", "-p", "no:cacheprovider",
            "-p", "bench.celery_suite.plugins.sides",
            f"--timeout={TEST_TIMEOUT_S}", "--timeout-method=signal", "-q",
            "-rfE", "--continue-on-collection-errors", "-p", "no:xdist",
            *_own_configuration(source), *suite.tests,
        ]  # fmt: skip
        env = {**os.environ, **known, "PYTHONPATH": path, "QUEUE_OR_TASK_SIDE": side}
        tests = table.start(name, command, env=env, folder=CACHE, cwd=source)
        deadline = time.monotonic() + SUITE_TIMEOUT_S
        while tests.exit_code() is None and time.monotonic() < deadline:
            time.sleep(LOOK_S)
        if tests.exit_code() is None:
            click.echo(f"{suite.name} did not end in {SUITE_TIMEOUT_S} s at {side}", err=True)
        table.kill(tests)
    table.forget(server)
    return read(log)


def _own_configuration(source: Path) -> list[str]:
    """Return what keeps pytest from taking the configuration of this project, where the suite has none."""
    marks = ("[pytest]", "[tool:pytest]", "[tool.pytest")
    files = [source / name for name in ("pytest.ini", "setup.cfg", "tox.ini", "pyproject.toml")]
    if any(mark in file.read_text() for file in files if file.exists() for mark in marks):
        return []
    (CACHE / "pytest.ini").write_text("[pytest]\n")
    return ["-c", str(CACHE / "pytest.ini"), "--rootdir", str(source)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
