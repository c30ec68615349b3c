"""Jobs of a Flask app, with Flask-SQLAlchemy and a real database."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("flask")
pytest.importorskip("flask_sqlalchemy")

from flask import Flask, current_app, g, has_app_context
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Integer, String

from inprocess import Child, Runtime, TaskSupervisor
from inprocess.integrations import flask as jobs
from inprocess.supervision.isolation import around
from inprocess.supervision.lifecycle.runtime import on_loop
from tests.inprocess.supervision.lifecycle.test_sigterm import ask, free_port


class Shop:
    """An app with one table."""

    def __init__(self, folder: Path) -> None:
        self.app = Flask("shop")
        self.app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{folder / 'shop.db'}"
        self.db: Any = SQLAlchemy(self.app)
        db = self.db

        class User(db.Model):  # type: ignore[name-defined,misc]  # made by the extension
            id = db.Column(Integer, primary_key=True)
            name = db.Column(String(100))

        self.user: Any = User
        with self.app.app_context():
            db.create_all()

    def names(self) -> list[str]:
        with self.app.app_context():
            return sorted(self.db.session.scalars(self.db.select(self.user.name)))


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path)
    yield shop
    with shop.app.app_context():
        shop.db.engine.dispose()
    around.no_longer_around(jobs.own_app_context)
    jobs._apps.clear()


@pytest.mark.parametrize("glue", ["init_app", "around", "none"])
@pytest.mark.parametrize("kind", ["plain", "async"])
def test_a_commit_of_the_view_does_not_commit_the_jobs_half_done_work(
    shop: Shop, glue: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Without the glue it does: what the test is about, and that it can fail."""
    around._told.clear()
    db, app = shop.db, shop.app
    flushed, committed = threading.Event(), threading.Event()
    found: dict[str, Any] = {}

    def job() -> None:
        g.owner = "job"
        db.session.add(shop.user(name="of the job, half done"))
        db.session.flush()
        found["job"] = db.session()
        flushed.set()

    def plain() -> None:
        job()
        committed.wait(10)

    async def coroutine() -> None:
        job()
        await asyncio.to_thread(committed.wait, 10)

    @app.get("/")
    def view() -> str:
        g.owner = "view"
        found["view"] = db.session()
        child = tasks.start_child(plain if kind == "plain" else coroutine)
        assert isinstance(child, Child)
        found["child"] = child
        assert flushed.wait(10)
        found["g"] = g.owner
        if glue == "none" or kind == "async":
            db.session.commit()  # SQLite has one writer: the job's transaction is open where it has its own
        committed.set()
        return "ok"

    if glue == "init_app":
        jobs.init_app(app)
    with Runtime(name="runtime-flask"):
        tasks = TaskSupervisor.start(around=app.app_context if glue == "around" else None)
        assert app.test_client().get("/").data == b"ok"
        on_loop(found["child"].wait)
    told = [record.message for record in caplog.records if "Flask-SQLAlchemy session" in record.message]
    assert len(told) == (glue == "none" and kind == "plain")
    if glue == "none":
        assert found["job"] is found["view"]
        assert shop.names() == ["of the job, half done"]
        return
    assert found["job"] is not found["view"]
    assert found["g"] == "view"
    assert shop.names() == []
    assert not found["job"].in_transaction()  # it was removed, which rolls back
    assert not found["job"].new


def test_the_connection_goes_back_to_the_pool_after_each_job(shop: Shop) -> None:
    jobs.init_app(shop.app)
    held: list[int] = []

    def job() -> None:
        shop.db.session.execute(shop.db.text("select 1"))
        held.append(shop.db.engine.pool.checkedout())

    with Runtime(name="runtime-flask"):
        tasks = TaskSupervisor.start()
        children = [tasks.start_child(job) for _ in range(10)]
        for child in children:
            assert isinstance(child, Child)
            on_loop(child.wait)
        with shop.app.app_context():
            assert shop.db.engine.pool.checkedout() == 0
    assert min(held) >= 1


def test_a_job_has_the_context_of_the_app_that_started_it_or_of_the_only_one() -> None:
    one, other = Flask("one"), Flask("other")
    seen: list[str] = []

    def job() -> None:
        seen.append(current_app.name if has_app_context() else "none")

    def run() -> None:
        child = tasks.start_child(job)
        assert isinstance(child, Child)
        on_loop(child.wait)

    try:
        with Runtime(name="runtime-flask"):
            tasks = TaskSupervisor.start()
            jobs.init_app(one)
            run()
            jobs.init_app(other)
            run()
            for app in (one, other):
                with app.app_context():
                    run()
        assert seen == ["one", "none", "one", "other"]
    finally:
        around.no_longer_around(jobs.own_app_context)
        jobs._apps.clear()


def test_under_gunicorns_threads_no_two_jobs_share_a_session_and_each_is_removed(tmp_path: Path) -> None:
    pytest.importorskip("gunicorn")
    (tmp_path / "shop.py").write_text(
        textwrap.dedent("""
            import threading, time
            from flask import Flask
            from flask_sqlalchemy import SQLAlchemy
            from inprocess import TaskSupervisor
            from inprocess.integrations import flask as jobs

            app = Flask(__name__)
            app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///:memory:"
            db = SQLAlchemy(app)
            jobs.init_app(app)
            tasks = TaskSupervisor.start(name="mails")
            sessions, views = [], []

            def job():
                sessions.append(db.session())
                db.session.execute(db.text("select 1"))
                time.sleep(0.05)

            @app.get("/")
            def view():
                views.append(db.session())
                for _ in range(5):
                    tasks.start_child(job)
                return "ok"

            @app.get("/seen")
            def seen():
                both = {id(session) for session in sessions} & {id(view) for view in views}
                open_now = sum(session.in_transaction() for session in sessions)
                apart = len({id(session) for session in sessions})
                return f"{len(sessions)} {apart} {len(both)} {open_now} {tasks.count}"
        """)
    )
    port = free_port()
    command = [
        sys.executable, "-m", "gunicorn", "shop:app", "--bind", f"127.0.0.1:{port}", "--worker-class",
        "gthread", "--threads", "4",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), str(tmp_path)])}
    server = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + 30
        for _ in range(4):
            assert ask(f"http://127.0.0.1:{port}/", until) == "ok"
        while not (seen := ask(f"http://127.0.0.1:{port}/seen", until)).endswith(" 0"):
            assert time.monotonic() < until
            time.sleep(0.05)
        assert seen == "20 20 0 0 0"
    finally:
        server.terminate()
        server.wait(30)
