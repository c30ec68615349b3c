"""How the pool is named on Celery's command line and in its settings, each in a fresh process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.celery_impl.conftest import PATIENCE_S
from tests.inprocess.celery.worker_pool.conftest import AioLab

ROOT = Path(__file__).parents[4]
POOL = "inprocess.celery.worker_pool.pool:TaskPool"


def celery(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run `celery ARGUMENTS` to its end."""
    command = [sys.executable, "-m", "celery", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_help_lists_the_name_and_a_wrong_one_is_refused_with_all_names() -> None:
    assert "|aio|swarm]" in celery("worker", "--help").stdout
    wrong = celery("-b", "redis://127.0.0.1:1", "worker", "-P", "aoi")
    assert wrong.returncode == 2
    assert "aio" in wrong.stderr


def test_a_broker_without_an_event_loop_is_refused_in_one_line() -> None:
    refused = celery("-b", "memory://", "worker", "-P", "aio", "-l", "ERROR")
    assert refused.returncode == 1
    assert "Error: -P aio needs a broker" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_celerys_own_way_of_naming_a_pool_works() -> None:
    refused = celery("-b", "memory://", "worker", "-P", "custom", CELERY_CUSTOM_WORKER_POOL=POOL)
    assert "Error: -P aio needs a broker" in refused.stderr


@pytest.mark.parametrize(("named", "options"), [("aio", ()), (POOL, ()), ("prefork", ("-P", "aio"))])
def test_the_pool_is_named_by_a_setting_or_an_option(
    aio_lab: AioLab, named: str, options: tuple[str, ...]
) -> None:
    aio = aio_lab.on("lease+redis", AIO_POOL=named)
    aio_lab.worker(*options, "-c", "3")
    assert aio.add.delay(1, 2).get(timeout=PATIENCE_S) == 3
    stats = aio.app.control.inspect(timeout=PATIENCE_S, limit=1).stats()
    assert [worker["pool"]["implementation"] for worker in stats.values()] == [POOL]
