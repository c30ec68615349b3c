"""Programs whose executable is no Python: a worker process would be the whole app again, and is refused."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path

import pytest

from tests.inprocess.programs import run_program

APP = """
    import asyncio, math, sys
    from multiprocessing import freeze_support
    from inprocess import TaskSupervisor

    print("the app starts", flush=True)

    async def main():
        async with TaskSupervisor.start() as tasks:
            print(await tasks.async_(math.factorial, 5))
            for start in (tasks.start_child, tasks.async_nolink):
                try:
                    start(math.factorial, 5, isolation="process")
                except RuntimeError as error:
                    print(error)

    if __name__ == "__main__":
        freeze_support()
        asyncio.run(main())
"""
REFUSED = 'isolation="process" is not possible: this app is'


@pytest.mark.skipif(not sysconfig.get_config_var("Py_ENABLE_SHARED"), reason="PyInstaller wants libpython")
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_app_that_pyinstaller_froze_is_told_in_one_line_and_does_not_start_again(tmp_path: Path) -> None:
    pytest.importorskip("PyInstaller")
    (tmp_path / "frozen.py").write_text(textwrap.dedent(APP))
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), "PYINSTALLER_CONFIG_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "PyInstaller", "--log-level", "ERROR", "frozen.py"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    environment.pop("PYTHONPATH")
    app = tmp_path / "dist" / "frozen" / "frozen"
    ended = subprocess.run(
        [app], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    shutil.rmtree(tmp_path / "dist")
    started, thread, *refusals = ended.stdout.splitlines()
    assert (started, thread, len(refusals)) == ("the app starts", "120", 2), ended.stderr
    for refusal in refusals:
        assert refusal.startswith(f"{REFUSED} frozen (by PyInstaller or the like), and {app} would start")
        assert 'use isolation="thread"' in refusal


@pytest.mark.parametrize(
    ("pretence", "host"),
    [
        ("sys.frozen = True", "frozen"),
        ('sys.executable = "/usr/bin/uwsgi"', "run by uWSGI"),
        ('sys.executable = "/usr/bin/uwsgi-core"', "run by uWSGI"),
    ],
)
def test_it_is_refused_by_each_way_to_a_process(pretence: str, host: str) -> None:
    program = f"""
        import asyncio, math, sys
        from inprocess import TaskSupervisor
        from inprocess.supervision.isolation.isolation import run
        {pretence}

        async def main():
            async with TaskSupervisor.start() as tasks:
                for start in (
                    lambda: tasks.start_child(math.factorial, 5, isolation="process"),
                    lambda: tasks.async_(math.factorial, 5, isolation="process"),
                    lambda: tasks.async_stream(math.factorial, [5], isolation="process"),
                ):
                    try:
                        start()
                    except RuntimeError as error:
                        print(error)
                try:
                    await run(math.factorial, (5,), "process", name="direct")
                except RuntimeError as error:
                    print(error)
        asyncio.run(main())
    """
    ended = run_program(program)
    lines = ended.stdout.splitlines()
    assert len(lines) == 4, ended.stderr
    assert all(line.startswith(f"{REFUSED} {host}") for line in lines)


def test_a_python_that_is_named_for_the_purpose_runs_the_processes() -> None:
    ended = run_program(f"""
        import asyncio, math, multiprocessing, sys
        from inprocess import TaskSupervisor

        async def main():
            async with TaskSupervisor.start() as tasks:
                print(await tasks.async_(math.factorial, 5, isolation="process"))

        sys.frozen = True
        sys.executable = "/somewhere/frozen"
        multiprocessing.set_executable({sys.executable!r})
        asyncio.run(main())
    """)
    assert ended.stdout == "120\n", ended.stderr
