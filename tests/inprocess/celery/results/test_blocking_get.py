"""`get()` is refused where it would wait for itself: on the run's own loop, and on no other."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from inprocess.celery import result, run_in_process
from tests.inprocess.supervision.lifecycle.test_sigterm import ask, free_port


@pytest.fixture
def app() -> Celery:
    return Celery("getting", set_as_current=False)


def test_on_another_running_loop_get_brings_the_result(app: Celery) -> None:
    @app.task(shared=False)
    def double(x: int) -> int:
        return 2 * x

    @app.task(shared=False)
    async def double_async(x: int) -> int:
        await asyncio.sleep(0)
        return 2 * x

    async def cell_of_a_notebook() -> list[Any]:
        return [task.delay(21).get(timeout=20) for task in (double, double_async)]

    with run_in_process(app):
        assert asyncio.run(cell_of_a_notebook()) == [42, 42]


def test_on_the_runs_own_loop_get_is_refused_and_says_what_to_await(app: Celery) -> None:
    @app.task(shared=False)
    def double(x: int) -> int:
        return 2 * x

    @app.task(shared=False)
    async def asks(x: int) -> str:
        try:
            double.delay(x).get(timeout=20, disable_sync_subtasks=False)
        except RuntimeError as error:
            return str(error)
        return "not refused"

    async def main() -> None:
        async with run_in_process(app):
            with pytest.raises(RuntimeError, match="the run's own event loop"):
                double.delay(1).get(timeout=20)
            assert await result(double.delay(1)) == 2

    asyncio.run(main())
    with run_in_process(app):
        assert "the run's own event loop" in asks.delay(1).get(timeout=20)


CELLS = [
    """
from celery import Celery
from inprocess.celery import run_in_process
app = Celery("notebook", set_as_current=False)
@app.task(shared=False)
def double(x):
    return 2 * x
run = run_in_process(app).start()
""",
    "double.delay(21).get(timeout=20)",
    "import asyncio; await asyncio.sleep(0); double.delay(4).get(timeout=20)",
    "run.stop()",
]


@pytest.mark.slow
def test_a_cell_of_a_notebook_gets_the_result(tmp_path: Path) -> None:
    jupyter: Any = pytest.importorskip("jupyter_client.manager")
    pytest.importorskip("ipykernel")
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), "IPYTHONDIR": str(tmp_path)}
    manager, client = jupyter.start_new_kernel(kernel_name="python3", cwd=str(tmp_path), env=environment)
    shown: list[str] = []

    def show(message: dict[str, Any]) -> None:
        content = message["content"]
        assert content.get("ename") is None, content
        shown.extend(str(content["data"]["text/plain"]) for _ in [0] if "data" in content)

    try:
        for cell in CELLS:
            reply = client.execute_interactive(cell, timeout=60, output_hook=show)
            assert reply["content"]["status"] == "ok"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert shown[:2] == ["42", "8"]


def test_an_async_view_of_django_gets_the_result(tmp_path: Path) -> None:
    pytest.importorskip("django")
    pytest.importorskip("uvicorn")
    (tmp_path / "site_asgi.py").write_text(
        textwrap.dedent("""
            from celery import Celery
            from django.conf import settings
            from django.core.asgi import get_asgi_application
            from django.http import HttpResponse
            from django.urls import path
            from inprocess.celery import run_in_process

            settings.configure(SECRET_KEY="x", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__)
            celery = Celery("shop", set_as_current=False)

            @celery.task(shared=False)
            def double(x):
                return 2 * x

            async def view(request):
                return HttpResponse(str(double.delay(21).get(timeout=20)))

            urlpatterns = [path("", view)]
            application = get_asgi_application()
            run = run_in_process(celery).start()
        """)
    )
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "site_asgi:application", "--port", str(port)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), str(tmp_path)])},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert [ask(f"http://127.0.0.1:{port}/", time.monotonic() + 40) for _ in range(3)] == ["42"] * 3
    finally:
        server.terminate()
        server.wait(30)
