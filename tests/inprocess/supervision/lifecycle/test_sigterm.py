"""SIGTERM where nobody else handles it: begun work is finished, a second cuts it short, a third ends it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request
from pathlib import Path

import pytest

from inprocess import Child, TaskSupervisor, drain
from inprocess.supervision.lifecycle.drain import GRACE_S
from tests.inprocess.programs import run_program

SCRIPT = """
    import asyncio, logging, os, signal, sys, threading, time
    from inprocess import TaskSupervisor

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    seconds, signals = float(sys.argv[1]), int(sys.argv[2])

    async def mail(number):
        running.release()
        try:
            await asyncio.sleep(seconds)
            print("sent", number, flush=True)
        finally:
            if seconds > 1 and signals > 2:
                time.sleep(20)  # holds up the end, so that there is one to cut

    async def consume():
        while True:
            await asyncio.sleep(0.05)

    def kill():
        for number in range(3):
            running.acquire()
        for number in range(signals):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.5)

    running = threading.Semaphore(0)
    tasks = TaskSupervisor.start(name="mails")
    for number in range(3):
        tasks.start_child(mail, number)
    tasks.start_child(consume, restart="permanent")
    threading.Thread(target=kill, daemon=True).start()
    time.sleep(30)
"""


def test_a_script_that_gets_sigterm_finishes_what_it_has_begun() -> None:
    ended = run_program(SCRIPT, "0.5", "1")
    assert sorted(ended.stdout.split("\n")[:-1]) == ["sent 0", "sent 1", "sent 2"], ended.stderr
    assert "drained: 3 ended, none cut off" in ended.stderr
    assert ended.returncode == 128 + signal.SIGTERM


def test_a_second_sigterm_cuts_the_grace_short_and_what_was_lost_is_named() -> None:
    begun = time.monotonic()
    ended = run_program(SCRIPT, "60", "2")
    assert time.monotonic() - begun < GRACE_S
    assert ended.stdout == ""
    assert "3 cut off and lost" in ended.stderr
    assert "mail(2)" in ended.stderr
    assert "consume" not in ended.stderr
    assert ended.returncode == 128 + signal.SIGTERM


def test_a_third_sigterm_ends_the_process_now() -> None:
    begun = time.monotonic()
    ended = run_program(SCRIPT, "60", "4")
    assert time.monotonic() - begun < GRACE_S
    assert "the process ends now" in ended.stderr
    assert ended.returncode == 128 + signal.SIGTERM


def test_a_permanent_child_is_no_work_it_is_stopped_at_once_and_not_reported() -> None:
    async def consume() -> None:
        await asyncio.sleep(3600)

    async def main() -> None:
        tasks = TaskSupervisor.start()
        child = tasks.start_child(consume, restart="permanent")
        begun = tasks.start_child(asyncio.sleep, 0.05)
        assert isinstance(child, Child)
        assert isinstance(begun, Child)
        started = time.monotonic()
        report = await drain(tasks, grace_s=60)
        assert time.monotonic() - started < 30
        assert (report.ended, report.cut_off) == (1, ())
        assert (child.exit is not None, begun.exit is not None) == (True, True)

    asyncio.run(main())


APP = """
    import asyncio
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route
    from inprocess import TaskSupervisor

    tasks = TaskSupervisor.start(name="mails")  # at module level: no loop runs yet

    async def mail(number):
        await asyncio.sleep(1)
        print("sent", number, flush=True)

    def view(request):
        tasks.start_child(mail, int(request.query_params["n"]))
        return PlainTextResponse("ok")

    app = Starlette(routes=[Route("/", view)])
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def ask(url: str, until: float) -> str:
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own server
                return str(answer.read().decode())
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


@pytest.mark.parametrize(
    "server",
    [
        ["uvicorn", "app:app", "--port", "{port}"],
        ["gunicorn", "wsgi:app", "--bind", "127.0.0.1:{port}", "--worker-class", "sync"],
        ["gunicorn", "wsgi:app", "--bind", "127.0.0.1:{port}", "--worker-class", "gthread"],
    ],
)
def test_begun_tasks_on_the_runtime_are_finished_when_a_server_gets_sigterm(
    server: list[str], tmp_path: Path
) -> None:
    pytest.importorskip(server[0])
    pytest.importorskip("starlette")
    (tmp_path / "app.py").write_text(textwrap.dedent(APP))
    (tmp_path / "wsgi.py").write_text(
        textwrap.dedent("""
            import asyncio
            from urllib.parse import parse_qs
            from inprocess import TaskSupervisor

            tasks = TaskSupervisor.start(name="mails")

            async def mail(number):
                await asyncio.sleep(1)
                print("sent", number, flush=True)

            def app(environ, start_response):
                tasks.start_child(mail, int(parse_qs(environ["QUERY_STRING"])["n"][0]))
                start_response("200 OK", [("Content-Length", "2")])
                return [b"ok"]
        """)
    )
    port = free_port()
    command = [sys.executable, "-m", *(part.format(port=port) for part in server)]
    running = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), str(tmp_path)])},
    )  # fmt: skip
    try:
        for number in range(3):
            assert ask(f"http://127.0.0.1:{port}/?n={number}", time.monotonic() + 30) == "ok"
        running.terminate()
        output, _ = running.communicate(timeout=40)
    finally:
        running.kill()
        running.wait()
    assert all(f"sent {number}" in output for number in range(3)), output
