"""The recipes without a server: after a commit, in a notebook, in a test."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.inprocess.recipes.page import argv, commands, environment, files, headings, write

COMMIT, JUPYTER, PYTEST = "After the commit", "Jupyter", "pytest-asyncio"
#: Seconds that a cell of a notebook may take.
CELL_S = 60.0


def run(heading: str, folder: Path) -> subprocess.CompletedProcess[str]:
    write(heading, folder)
    (command,) = commands(heading)
    return subprocess.run(
        argv(command), cwd=folder, env=environment(folder), capture_output=True, text=True, check=False,
        timeout=80,
    )  # fmt: skip


def test_every_recipe_has_a_block_that_is_tested() -> None:
    assert headings() == [
        "uvicorn", "gunicorn", "Flask's reloader", "Django", "docker and systemd",
        "One of many workers runs the ticks", COMMIT, JUPYTER, PYTEST,
    ]  # fmt: skip
    assert all(files(heading) for heading in headings())


def test_sqlalchemys_jobs_start_after_the_commit_and_not_after_a_rollback(tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy")
    ended = run(COMMIT, tmp_path)
    assert "sent ada" in ended.stdout, ended.stderr
    assert "sent bob" in ended.stdout, ended.stderr
    assert ended.stdout.count("sent") == 2
    assert ended.returncode == 0
    assert "crashed" not in ended.stderr


def test_pytest_asyncios_fixture_runs_its_tests(tmp_path: Path) -> None:
    pytest.importorskip("pytest_asyncio")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")  # else that of this repository is found
    ended = run(PYTEST, tmp_path)
    assert "2 passed" in ended.stdout, ended.stdout
    assert ended.returncode == 0


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[object]:
    """A running kernel of Jupyter, and its client."""
    pytest.importorskip("ipykernel")
    manager_module = pytest.importorskip("jupyter_client.manager")
    manager, client = manager_module.start_new_kernel(
        kernel_name="python3", cwd=str(tmp_path), env=environment(tmp_path), startup_timeout=CELL_S
    )
    try:
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_a_notebook_keeps_its_servers_from_cell_to_cell(kernel: object) -> None:
    outputs = []
    for cell in files(JUPYTER)["notebook.py"].split("# %%\n"):
        shown: list[str] = []

        def show(message: dict[str, dict[str, object]], shown: list[str] = shown) -> None:
            content = message["content"]
            data = content.get("data")
            assert content.get("ename") is None, content
            if isinstance(data, dict):
                shown.append(str(data["text/plain"]))
            shown.extend(str(content["text"]).split("\n")[:-1] if "text" in content else [])

        reply = kernel.execute_interactive(cell, timeout=CELL_S, output_hook=show)  # type: ignore[attr-defined]  # has no types
        assert reply["content"]["status"] == "ok"
        outputs.append(shown)
    assert outputs == [[], ["1"], ["normal"], ["['counter', 'tasks']"]]
