"""The loops and forks of real servers and test frameworks: refused at once with the reason, never lost."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from inprocess import Refused, TaskSupervisor
from tests.inprocess.supervision.lifecycle.test_sigterm import ask, free_port

#: Far below the 5 s that a caller waits for a loop that is busy.
AT_ONCE_S = 3.0


@pytest.mark.parametrize("worker", ["sync", "gthread"])
def test_a_tree_made_before_gunicorn_forks_refuses_each_job_at_once_and_task_start_works(
    worker: str, tmp_path: Path
) -> None:
    pytest.importorskip("gunicorn")
    (tmp_path / "wsgi.py").write_text(
        textwrap.dedent("""
            import threading
            from inprocess import Refused, Task, TaskSupervisor

            tasks = TaskSupervisor.start(name="mailers")  # --preload: in the master, before the fork

            def app(environ, start_response):
                refused = tasks.start_child(print, "never")
                done = threading.Event()
                Task.start(done.set)
                text = f"{type(refused).__name__} {refused.reason} {refused.text} {done.wait(10)}".encode()
                start_response("200 OK", [("Content-Length", str(len(text)))])
                return [text]
        """)
    )
    port = free_port()
    command = [
        sys.executable, "-m", "gunicorn", "wsgi:app", "--preload", "--bind", f"127.0.0.1:{port}",
        "--worker-class", worker, "--threads", "2" if worker == "gthread" else "1",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), str(tmp_path)])}
    server = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        ask(f"http://127.0.0.1:{port}/", time.monotonic() + 30)
        for _ in range(6):
            begun = time.monotonic()
            answer = ask(f"http://127.0.0.1:{port}/", begun + 30)
            assert answer.startswith(
                "Refused not_running mailers: its event loop was made before this process"
            )
            assert answer.endswith("True")
            assert time.monotonic() - begun < AT_ONCE_S
    finally:
        server.terminate()
        server.wait(30)


@pytest.mark.filterwarnings("ignore:Using `httpx`")
def test_starlettes_test_client_without_with_runs_each_request_on_a_loop_of_its_own() -> None:
    applications = pytest.importorskip("starlette.applications")
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route
    from starlette.testclient import TestClient

    held: list[TaskSupervisor] = []

    async def view(_request: object) -> PlainTextResponse:
        if not held:
            held.append(TaskSupervisor.start())  # as an app does that starts it at the first request
            return PlainTextResponse("started")
        refused = held[0].start_child(time.sleep, 0)
        assert isinstance(refused, Refused)
        return PlainTextResponse(refused.text)

    client = TestClient(applications.Starlette(routes=[Route("/", view)]))
    assert client.get("/").text == "started"
    assert "its event loop is closed" in client.get("/").text


def test_a_session_fixture_of_pytest_asyncio_is_refused_in_a_test_with_a_loop_of_its_own(
    tmp_path: Path,
) -> None:
    pytest.importorskip("pytest_asyncio")
    (tmp_path / "test_it.py").write_text(
        textwrap.dedent("""
            import asyncio, pytest, pytest_asyncio
            from inprocess import Child, GenServer, Refused, ServerDiedError, TaskSupervisor

            @pytest_asyncio.fixture(scope="session", loop_scope="session")
            async def tasks():
                async with TaskSupervisor.start() as tasks:
                    yield tasks

            @pytest.mark.asyncio(loop_scope="function")
            async def test_another_loop(tasks):
                refused = tasks.start_child(asyncio.sleep, 0)
                assert isinstance(refused, Refused), refused
                assert "does not run" in refused.text

            @pytest.mark.asyncio(loop_scope="session")
            async def test_the_same_loop(tasks):
                child = tasks.start_child(asyncio.sleep, 0)
                assert isinstance(child, Child)
                assert (await child.wait()).kind == "normal"
        """)
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=80,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout
    assert "2 passed" in ended.stdout
