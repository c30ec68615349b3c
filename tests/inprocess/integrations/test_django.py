"""Jobs of a Django site, with a real database: its connections are closed when the job has ended."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tests.inprocess.programs import run_program
from tests.inprocess.supervision.lifecycle.test_sigterm import ask, free_port

pytest.importorskip("django")

#: What each program begins with: a site, and how many files of its database are open.
SITE = """
import asyncio, os, sys
import django
from django.conf import settings

settings.configure(
    INSTALLED_APPS=sys.argv[1].split(",") if sys.argv[1] else [],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "site.db",
                           "CONN_MAX_AGE": int(sys.argv[2]) if len(sys.argv) > 2 else 0}},
)
django.setup()
from django.db import connection, transaction
from inprocess import TaskSupervisor

def open_files():
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{number}"))
        except FileNotFoundError:
            pass
    return sum(name.endswith("site.db") for name in found)

def query():
    with connection.cursor() as cursor:
        cursor.execute("select 1")
    return open_files()
"""
APP = "inprocess.integrations.django"
IN_PROC = pytest.mark.skipif(sys.platform != "linux", reason="open files are counted in /proc")


def site_program(code: str, *arguments: str, cwd: Path) -> str:
    ended = run_program(SITE + textwrap.dedent(code), *arguments, cwd=cwd)
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stdout


@IN_PROC
@pytest.mark.parametrize(
    ("app", "max_age", "left"), [(APP, "0", "0"), (APP, "600", "0"), ("", "0", "more"), (APP, "-1", "0")]
)
def test_no_connection_stays_open_after_the_jobs(app: str, max_age: str, left: str, tmp_path: Path) -> None:
    """Without the app they do: what the test is about, and that it can fail."""
    program = """
        async def main():
            async with TaskSupervisor.start() as tasks:
                seen = await asyncio.gather(*(tasks.async_nolink(query) for _ in range(40)))
                print(min(seen) > 0, "0" if open_files() == 0 else "more")
        asyncio.run(main())
    """
    assert site_program(program, app, max_age, cwd=tmp_path) == f"True {left}\n"


@pytest.mark.parametrize(("app", "lines"), [("", 1), (APP, 0)])
def test_a_connection_that_stays_open_is_told_once_with_what_to_do(
    app: str, lines: int, tmp_path: Path
) -> None:
    program = """
        async def main():
            async with TaskSupervisor.start() as tasks:
                for _ in range(5):
                    await tasks.async_nolink(query)
        asyncio.run(main())
    """
    ended = run_program(SITE + textwrap.dedent(program), app, cwd=tmp_path)
    told = ended.stderr.splitlines()
    assert len(told) == lines
    assert all('put "inprocess.integrations.django" into INSTALLED_APPS' in line for line in told)


def test_an_app_that_imports_django_and_does_not_set_it_up_is_told_nothing() -> None:
    ended = run_program("""
        import django.db
        from inprocess import TaskSupervisor
        from inprocess.supervision.lifecycle.runtime import on_loop
        print(on_loop(TaskSupervisor.start().start_child(int).wait))
    """)
    assert (ended.stdout, ended.stderr) == ("normal\n", "")


@IN_PROC
def test_the_hook_can_be_one_supervisors(tmp_path: Path) -> None:
    program = """
        from inprocess.integrations.django.connections import ClosedConnections

        async def main():
            async with TaskSupervisor.start(around=ClosedConnections) as tasks:
                print(await tasks.async_nolink(query), open_files())
            async with TaskSupervisor.start() as tasks:
                await tasks.async_nolink(query)
                print(open_files())
        asyncio.run(main())
    """
    assert site_program(program, "", cwd=tmp_path) == "1 0\n1\n"


@IN_PROC
@pytest.mark.parametrize(("app", "left"), [(APP, "0"), ("", "more")])
@pytest.mark.parametrize("isolation", ["loop", "thread"])
def test_no_connection_of_an_async_job_stays_open_either(
    app: str, left: str, isolation: str, tmp_path: Path
) -> None:
    """Without the app it does: what the test is about, and that it can fail."""
    program = """
        import threading
        from asgiref.sync import sync_to_async

        async def job():  # as Django's own `aget` and the like do
            return await sync_to_async(query)()

        async def main():
            async with TaskSupervisor.start() as tasks:
                isolation = sys.argv[3]
                seen = await asyncio.gather(*(tasks.async_nolink(job, isolation=isolation) for _ in range(5)))
                await tasks.async_nolink(asyncio.sleep, 0)
                left = [thread.name for thread in threading.enumerate() if "Executor" in thread.name]
                print(min(seen) > 0, "0" if open_files() == 0 and not left else "more")
        asyncio.run(main())
    """
    assert site_program(program, app, "0", isolation, cwd=tmp_path) == f"True {left}\n"


def test_a_transaction_that_a_job_leaves_open_is_rolled_back(tmp_path: Path) -> None:
    program = """
        def half():
            transaction.set_autocommit(False)
            with connection.cursor() as cursor:
                cursor.execute("insert into t values (1)")

        def count():
            with connection.cursor() as cursor:
                cursor.execute("select count(*) from t")
                return cursor.fetchone()[0]

        def table():
            with connection.cursor() as cursor:
                cursor.execute("create table t (n integer)")

        async def main():
            async with TaskSupervisor.start() as tasks:
                for job in (table, half, count):
                    found = await tasks.async_nolink(job)
                print(found)
        asyncio.run(main())
    """
    assert site_program(program, APP, cwd=tmp_path) == "0\n"


def test_a_close_that_fails_is_logged_and_the_job_has_ended_all_the_same(tmp_path: Path) -> None:
    program = """
        import logging
        from django.db import connections
        logging.basicConfig(stream=sys.stdout, format="%(message)s")
        logging.getLogger("inprocess").addFilter(lambda record: setattr(record, "exc_info", None) or True)

        def job():
            query()
            def fail():
                raise OSError("the server is gone")
            connection.close = fail
            return "done"

        async def main():
            async with TaskSupervisor.start() as tasks:
                print(await tasks.async_nolink(job))
        asyncio.run(main())
    """
    told = site_program(program, APP, cwd=tmp_path)
    assert told == "the database connections of a job could not be closed\ndone\n"


def test_a_coroutine_on_the_loop_keeps_what_the_loops_thread_has_open(tmp_path: Path) -> None:
    """As in a notebook, where Django's ORM is allowed on the loop's thread."""
    program = """
        async def job():
            return query()

        async def main():
            query()
            with transaction.atomic():
                async with TaskSupervisor.start() as tasks:
                    await tasks.async_nolink(job)
                    await tasks.async_nolink(asyncio.sleep, 0)
                print(connection.in_atomic_block, connection.connection is not None)
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
        asyncio.run(main())
    """
    assert site_program(program, APP, cwd=tmp_path) == "True True\n"


@IN_PROC
@pytest.mark.parametrize("worker", ["sync", "gthread"])
def test_under_gunicorn_no_connection_of_a_job_stays_open(worker: str, tmp_path: Path) -> None:
    pytest.importorskip("gunicorn")
    (tmp_path / "site_settings.py").write_text(
        textwrap.dedent(f"""
            SECRET_KEY = "x"
            ALLOWED_HOSTS = ["*"]
            ROOT_URLCONF = "urls"
            INSTALLED_APPS = ["{APP}"]
            DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": "site.db"}}}}
        """)
    )
    (tmp_path / "urls.py").write_text(
        textwrap.dedent("""
            import os
            from django.db import connection
            from django.http import HttpResponse
            from django.urls import path
            from inprocess import TaskSupervisor

            tasks = TaskSupervisor.start(name="mails")

            def job():
                with connection.cursor() as cursor:
                    cursor.execute("select 1")

            def start(request):
                for _ in range(10):
                    tasks.start_child(job)
                return HttpResponse("ok")

            def look(request):
                names = [os.path.realpath(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")]
                left = sum(name.endswith("site.db") for name in names)
                return HttpResponse(f"{tasks.counts['done']} done, {left} open")

            urlpatterns = [path("", start), path("look", look)]
        """)
    )
    port = free_port()
    command = [
        sys.executable, "-m", "gunicorn", "django.core.wsgi:get_wsgi_application()", "--bind",
        f"127.0.0.1:{port}", "--worker-class", worker, "--threads", "4",
    ]  # fmt: skip
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path.cwd()), str(tmp_path)]),
        "DJANGO_SETTINGS_MODULE": "site_settings",
    }
    server = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + 40
        for _ in range(4):
            assert ask(f"http://127.0.0.1:{port}/", until) == "ok"
        while not (seen := ask(f"http://127.0.0.1:{port}/look", until)).startswith("40 done"):
            assert time.monotonic() < until, seen
            time.sleep(0.05)
        assert seen == "40 done, 0 open"
    finally:
        server.terminate()
        server.wait(30)
