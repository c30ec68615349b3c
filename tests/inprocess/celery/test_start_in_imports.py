"""A run that begins while modules are imported: no thread waits for a lock that the starting one holds."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest


def run_in(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), str(folder)])},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_run_may_begin_at_the_end_of_the_module_that_its_tasks_import(tmp_path: Path) -> None:
    (tmp_path / "celery_app.py").write_text(
        "from celery import Celery\n"
        "from inprocess.celery import run_in_process\n"
        'app = Celery("shop", include=["shop_tasks"])\n'
        "run = run_in_process(app).start()\n"
    )
    (tmp_path / "shop_tasks.py").write_text(
        "from celery_app import app\n@app.task\ndef price(x):\n    return 2 * x\n"
    )
    ended = run_in(
        tmp_path,
        """
        import time
        begun = time.monotonic()
        import celery_app, shop_tasks
        print(shop_tasks.price.delay(21).get(timeout=20), time.monotonic() - begun < 9)
        celery_app.run.stop()
        """,
    )
    assert ended.stdout == "42 True\n", ended.stderr


def test_a_run_that_begins_in_djangos_ready_is_refused_at_once_and_told_where_it_belongs(
    tmp_path: Path,
) -> None:
    pytest.importorskip("django")
    shop = tmp_path / "shop"
    shop.mkdir()
    (shop / "__init__.py").touch()
    (shop / "tasks.py").write_text(
        'from celery import Celery\napp = Celery("shop")\n@app.task\ndef price(x):\n    return 2 * x\n'
    )
    (shop / "apps.py").write_text(
        textwrap.dedent("""
            from django.apps import AppConfig

            class ShopConfig(AppConfig):
                name = "shop"

                def ready(self):
                    from inprocess.celery import run_in_process
                    from shop.tasks import app
                    try:
                        run_in_process(app).start()
                    except RuntimeError as error:
                        print(error)
        """)
    )
    (tmp_path / "settings.py").write_text('SECRET_KEY = "x"\nINSTALLED_APPS = ["shop.apps.ShopConfig"]\n')
    ended = run_in(
        tmp_path,
        """
        import os, time
        os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
        begun = time.monotonic()
        from django.core.wsgi import get_wsgi_application
        application = get_wsgi_application()
        from inprocess.celery import run_in_process
        from shop.tasks import app, price
        with run_in_process(app):
            print(price.delay(21).get(timeout=20), time.monotonic() - begun < 9)
        """,
    )
    told, _, rest = ended.stdout.partition("\n")
    assert "start it in wsgi.py or asgi.py" in told, ended.stderr
    assert rest == "42 True\n", ended.stderr
