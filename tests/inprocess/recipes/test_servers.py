"""The recipes for web servers: what was begun is finished at SIGTERM and at a reload, in each worker."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.inprocess.recipes.page import Server, argv, commands, environment, serving, touch, write

pytest.importorskip("fastapi")
pytest.importorskip("flask")
pytest.importorskip("django")
pytest.importorskip("gunicorn")

UVICORN, GUNICORN, FLASK, DJANGO = "uvicorn", "gunicorn", "Flask's reloader", "Django"
SERVED = [
    (heading, command) for heading in (UVICORN, GUNICORN, FLASK, DJANGO) for command in commands(heading)
]


#: What a server says once each time that it starts under a reloader.
STARTED = {
    UVICORN: "startup complete",
    FLASK: "the tree is started",
    DJANGO: "Watching for file changes with",
}
#: One command of each server. The others are `slow`, since each takes some seconds.
FIRST = ("uvicorn app:app --port 8000 --workers 2", "--preload", "flask run --debug --port 8000")


def tried(*, watched: bool) -> list[Any]:
    """The commands whose files are watched, or the others."""
    return [
        pytest.param(heading, command, marks=[] if command.endswith(FIRST) else [pytest.mark.slow])
        for heading, command in SERVED
        if watches(command) == watched
    ]


def watches(command: str) -> bool:
    """Whether a process that watches the files runs the server: Ctrl-C and SIGTERM there kill it at once."""
    return "--reload" in command or "--debug" in command or command.endswith("runserver 8000")


def prepare(heading: str, folder: Path) -> None:
    write(heading, folder)
    if heading == DJANGO:
        subprocess.run(
            argv("python manage.py migrate"),
            cwd=folder,
            env=environment(folder),
            check=True,
            capture_output=True,
        )


def sent_all(server: Server) -> bool:
    return all(f"sent a{number}" in server.output for number in range(3))


def test_each_kind_of_server_is_on_the_page() -> None:
    assert len(SERVED) == 13
    assert sum(watches(command) for _, command in SERVED) == 3


@pytest.mark.parametrize(("heading", "command"), tried(watched=False))
def test_a_server_that_gets_sigterm_finishes_what_was_begun(
    heading: str, command: str, tmp_path: Path
) -> None:
    prepare(heading, tmp_path)
    with serving(command, tmp_path) as server:
        if heading == UVICORN and "--workers 2" in command:  # one that still boots would miss the signal
            server.until("server listening" if "gunicorn" in command else "startup complete", 2)
        for number in range(3):
            assert server.post(f"sign-up/a{number}") == 200, server.output
        server.end()
        assert sent_all(server), server.output
        assert "cut off" not in server.output


@pytest.mark.parametrize(("heading", "command"), tried(watched=True))
def test_a_reload_finishes_what_was_begun_and_starts_one_tree(
    heading: str, command: str, tmp_path: Path
) -> None:
    prepare(heading, tmp_path)
    watched = tmp_path / ("shop/urls.py" if heading == DJANGO else "app.py")
    with serving(command, tmp_path) as server:
        for number in range(2):
            assert server.post(f"sign-up/a{number}") == 200, server.output
        touch(watched)
        server.until("sent a", 2)
        server.until(STARTED[heading], 2)  # before the reload and after it
        assert server.post("sign-up/a2") == 200, server.output
        server.until("sent a2")
        assert server.output.count(STARTED[heading]) == 2
        assert "AlreadyStarted" not in server.output
        assert "cut off" not in server.output


def test_a_view_that_fails_after_on_commit_has_neither_its_user_nor_its_mail(tmp_path: Path) -> None:
    prepare(DJANGO, tmp_path)
    with serving("python manage.py runserver 8000 --noreload", tmp_path) as server:
        assert server.post("sign-up/no-mail") == 500
        assert server.post("sign-up/a0") == 200
        server.end()
        assert "sent a0" in server.output
        assert "sent no-mail" not in server.output
        assert "crashed" not in server.output
