"""What the suite promises of itself: `timeouts`, `properties` and `noise`, in a pytest of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
#: Of each test in there.
LIMIT_S = 1.5
#: Seconds that such a pytest may take: some 10 on a machine at rest, most of them its start.
PATIENCE_S = 280.0
PLUGINS = ("-p", "tests.timeouts", "-p", "tests.properties", "-p", "tests.noise")
pytestmark = pytest.mark.timeout(PATIENCE_S + 20)

HANGS = """
import asyncio, collections, itertools, threading, time
import pytest
from hypothesis import given, strategies as st

def hang_here():
    threading.Event().wait()

def test_that_waits_for_ever():
    hang_here()

def test_that_waits_for_a_thread_that_waits_for_ever():
    thread = threading.Thread(target=hang_here, name="the culprit", daemon=True)
    thread.start()
    thread.join()

def test_whose_loop_waits_for_ever_and_whose_task_takes_no_cancellation():
    async def stubborn():
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                pass

    asyncio.run(stubborn())

def test_that_takes_any_error_for_an_answer_once():
    try:
        hang_here()
    except BaseException:
        hang_here()

@given(st.integers())
def test_of_a_property_that_waits_for_ever(number):
    hang_here()

@pytest.fixture
def clears_up():
    yield
    hang_here()

def test_whose_fixture_waits_for_ever(clears_up):
    pass

def test_that_fails_and_whose_fixture_waits_for_ever(clears_up):
    assert False

def test_after():
    pass
"""


def run(folder: Path, text: str, *options: str) -> str:
    """What a pytest of its own says of these tests, with a limit of LIMIT_S each."""
    (folder / "test_it.py").write_text(text)
    (folder / "pytest.ini").write_text(f"[pytest]\ntimeout = {LIMIT_S}\n")
    (folder / "conftest.py").write_text(
        "from tests import timeouts\ntimeouts.AGAIN_S, timeouts.LOST_S = 0.5, 3.0\n"
    )
    command = [sys.executable, "-m", "pytest", *PLUGINS, "-p", "no:cacheprovider", "-rA"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    done = subprocess.run(
        [*command, *options],
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return done.stdout


def test_whatever_a_test_hangs_in_it_fails_with_its_stack_and_the_next_one_runs(tmp_path: Path) -> None:
    said = run(tmp_path, HANGS)

    # Seven hang, of which two in their fixture: one of these passes before, the other fails.
    assert "6 failed, 2 passed, 2 errors" in said
    for name in (
        "that_waits_for_ever",
        "that_waits_for_a_thread_that_waits_for_ever",
        "whose_loop_waits_for_ever_and_whose_task_takes_no_cancellation",
        "that_takes_any_error_for_an_answer_once",
        "of_a_property_that_waits_for_ever",
    ):
        assert f"FAILED test_it.py::test_{name} - tests.timeouts.TestTimeoutError" in said
    for name in ("whose_fixture_waits_for_ever", "that_fails_and_whose_fixture_waits_for_ever"):
        assert f"ERROR test_it.py::test_{name} - tests.timeouts.TestTimeoutError" in said
    assert "PASSED test_it.py::test_after" in said
    assert "--- thread the culprit" in said
    assert "in stubborn\n" in said
    assert "Failing test case" not in said


LOST = """
import collections, itertools, os

def test_that_never_comes_back_from_c():
    collections.deque(itertools.repeat(None), maxlen=0)

def test_that_ends_its_process():
    os._exit(3)

def test_after():
    pass
"""


def test_a_test_that_cannot_be_interrupted_fails_with_its_stack_and_another_process_takes_the_rest(
    tmp_path: Path,
) -> None:
    said = run(tmp_path, LOST, "--numprocesses", "1", "--dist", "loadfile", "--max-worker-restart", "3")

    assert "2 failed, 1 passed" in said
    for name in ("that_never_comes_back_from_c", "that_ends_its_process"):
        assert said.count(f"crashed while running 'test_it.py::test_{name}'") == 2, "once, and in the summary"
    assert "in test_that_never_comes_back_from_c\n" in said, "its stack"
    assert "PASSED test_it.py::test_after" in said


SLOW_START = """
import os, pathlib, time

def wait_for(name):
    while not pathlib.Path(name).exists():
        time.sleep(0.01)

def pytest_collection():
    if pathlib.Path("first-died").exists() and "PYTEST_XDIST_WORKER" in os.environ:
        pathlib.Path("collects").touch()
        wait_for("second-died")
        time.sleep(0.5)
"""
ENDS_ITS_PROCESS = """
import os, pathlib, slow_start

def test_that_ends_its_process():
    if {second}:
        slow_start.wait_for("collects")
    pathlib.Path("{name}-died").touch()
    os._exit(3)
"""


def test_a_process_that_dies_while_the_successor_of_another_collects_loses_no_test(tmp_path: Path) -> None:
    (tmp_path / "slow_start.py").write_text(SLOW_START)
    for number, name in enumerate(("first", "second")):
        text = ENDS_ITS_PROCESS.format(second=number, name=name)
        (tmp_path / f"test_a{number}.py").write_text(text)
    for number in range(4):
        (tmp_path / f"test_b{number}.py").write_text("def test_after(): pass")
    options = ("--numprocesses", "2", "--dist", "loadfile", "--max-worker-restart", "3", "-p", "slow_start")

    said = run(tmp_path, "def test_after(): pass", *options, "--timeout", "60", "--no-loadscope-reorder")

    assert "2 failed, 5 passed" in said
    for number in range(2):
        assert f"crashed while running 'test_a{number}.py::test_that_ends_its_process'" in said


SHRINKS = """
import time
from hypothesis import given, strategies as st
import hypothesis.internal.conjecture.engine

hypothesis.internal.conjecture.engine.MAX_SHRINKING_SECONDS /= 60

@given(st.lists(st.integers(), min_size=20))
def test_of_a_property_whose_examples_are_slow_and_large(numbers):
    time.sleep(0.02)
    assert sum(numbers) < 1_000_000
"""


def test_shrinking_ends_before_the_time_limit_and_the_example_is_told(tmp_path: Path) -> None:
    """Its bound is a constant of Hypothesis that no setting reaches: a new version may read it elsewhere."""
    said = run(tmp_path, SHRINKS, "--timeout", "30")

    assert "FAILED test_it.py::test_of_a_property_whose_examples_are_slow_and_large" in said
    assert "Failing test case" in said
    assert "working to shrink a failing test case, and stopped" in said
    assert "TestTimeoutError" not in said


DRAWS = """
from hypothesis import given, strategies as st

def drawn():
    found = []

    @given(st.integers())
    def draw(number):
        found.append(number)

    draw()
    return found

def test_of_a_property():
    assert drawn() == drawn()
"""


@pytest.mark.parametrize(
    ("options", "outcome"), [((), "1 passed"), (("--hypothesis-profile", "random"), "1 failed")]
)
def test_properties_have_the_same_examples_every_time_and_new_ones_in_the_soak(
    tmp_path: Path, options: tuple[str], outcome: str
) -> None:
    assert outcome in run(tmp_path, DRAWS, *options)


NOISE = """
import pytest
from tests import noise

def test_a_figure():
    noise.too_noisy("hiccups of up to 40 ms")

def test_b():
    pytest.skip("no rabbitmq-server")

def test_c():
    pass
"""


@pytest.mark.parametrize("options", [(), ("--numprocesses", "1")])
def test_what_is_skipped_for_noise_says_so_in_the_closing_line(tmp_path: Path, options: tuple[str]) -> None:
    said = run(tmp_path, NOISE, *options)

    assert "1 passed, 1 skipped, 1 skipped for noise in" in said.splitlines()[-1]
    assert "test_it.py::test_a_figure: hiccups of up to 40 ms" in said
