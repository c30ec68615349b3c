"""A Django project whose packages have the names of ours keeps them in the processes that run its tasks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.errors import BenchError
from bench.own_app.app_inspection import inspect_app
from bench.own_app.interpreter import inspect
from tests import noise

#: Seconds that a run may take on a machine that does other things.
PATIENCE_S = 240
HERE = inspect(Path(sys.executable))
SETTINGS = """
    SECRET_KEY = "for a test"
    INSTALLED_APPS = ["reports"]
    CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
    CELERY_TASK_IGNORE_RESULT = True
"""
CELERY = """
    import os
    from celery import Celery

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clinic.settings")
    app = Celery("clinic")
    app.config_from_object("django.conf:settings", namespace="CELERY")
    app.autodiscover_tasks()
"""
#: A task that works with the project's own packages of our names.
TASKS = """
    from celery import shared_task
    from bench.hooks import effect
    from bench.machines import bench_of
    from reports.models import title
    from scenarios import morning
    from tests.people import PATIENT

    @shared_task
    def write(number):
        effect(title(number), f"{bench_of(number)} {morning.START} {PATIENT}")
"""
PROJECT: dict[str, str] = {
    "clinic/settings": SETTINGS,
    "clinic/celery": CELERY,
    "clinic/__init__": "from clinic.celery import app",
    "reports/__init__": "",
    "reports/models": "def title(number): return f'report {number}'",
    "reports/tasks": TASKS,
    "bench/__init__": "",
    "bench/machines": "def bench_of(number): return number % 3",
    "scenarios/__init__": "",
    "scenarios/morning": "START = '07:00'",
    "tests/__init__": "",
    "tests/people": "PATIENT = 'Ada'",
}


@pytest.mark.timeout(PATIENCE_S + 10)
def test_a_django_app_called_reports_is_measured_beside_its_own_bench_scenarios_and_tests(
    project: Any, tmp_path: Path
) -> None:
    command = [str(Path(sys.executable).parent / "queue-or-task"), "run", "--profile", "smoke"]
    command += ["--app", "clinic", "--task", "reports.tasks.write", "--args", '[{"sequence": 1}]']
    command += ["--measure", "latency", "--out", str(tmp_path / "out")]
    done = subprocess.run(
        command, cwd=project(**PROJECT), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    noise.check_run(done.returncode, done.stdout + done.stderr)
    run = tmp_path / "out" / "latest"
    jobs = pd.read_csv(run / "jobs.csv")
    assert set(jobs["side"]) == {"inprocess", "celery-app"}
    assert set(jobs["outcome"]) == {"done"}
    manifest: dict[str, Any] = json.loads((run / "run.json").read_text())
    kinds = manifest["own_app"]["seen"]["reports.tasks.write"]["effects"]
    assert "report 1" in kinds, "the effect is noted beside a `bench` of theirs"
    assert (run / "report.html").exists()


@pytest.mark.parametrize("name", ["inprocess", "celery_impl"])
def test_a_package_with_a_name_that_cannot_be_shared_is_refused_in_one_line(project: Any, name: str) -> None:
    folder = project(shop="from celery import Celery\napp = Celery('shop')", **{f"{name}/__init__": ""})
    with pytest.raises(BenchError) as caught:
        inspect_app("shop:app", folder, {}, interpreter=HERE, reach=False)
    assert str(caught.value) == (
        f"{folder / name} has the name of a package that queue-or-task needs: rename it"
    )


def test_a_module_hooks_of_a_bench_of_theirs_is_theirs(project: Any) -> None:
    folder = project(
        shop="""
            from celery import Celery
            from bench.hooks import theirs
            app = Celery("shop")

            @app.task(name=theirs)
            def pay(): ...
        """,
        **{"bench/__init__": ""},
        bench__hooks="theirs = 'their-task'",
    )
    found = inspect_app("shop:app", folder, {"their-task": []}, interpreter=HERE, reach=False)
    assert list(found.signatures) == ["their-task"]
