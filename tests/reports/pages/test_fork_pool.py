"""Work shared out over forked processes, in a program of its own: forking is for a single thread."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence

import psutil
import pytest

#: What every program begins with; `work(…)` gives what pieces make of a run with so many processes.
BEGIN = """
import os, signal, sys, threading, time
from reports.pages import fork_pool as hands
from reports.data.run import Run
def work(*pieces, processes=2):
    return hands.run_pieces(Run("here", {}, {}, (), ()), pieces, processes=processes)
"""


def command(program: str) -> Sequence[str]:
    return sys.executable, "-W", "error", "-c", BEGIN + program


ENVIRONMENT = os.environ | {"OPENBLAS_NUM_THREADS": "1"}


def printed(program: str) -> list[str]:
    done = subprocess.run(command(program), env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_each_piece_is_given_the_run_and_what_it_makes_comes_back_in_order() -> None:
    program = "print(*work(lambda run: (time.sleep(.1), 1)[1], lambda run: run.directory, lambda _: 3))"
    assert printed(program) == ["1 here 3"]


def test_the_pieces_are_made_at_the_same_time_by_other_processes() -> None:
    # each waits for what the other writes, so one alone would wait for ever
    program = """
a, b = os.pipe(), os.pipe()
def first(_):
    os.write(a[1], b"x")
    return os.read(b[0], 1), os.getpid()
def second(_):
    os.write(b[1], b"y")
    return os.read(a[0], 1), os.getpid()
(one, at_one), (two, at_two) = work(first, second)
print(one.decode(), two.decode(), len({at_one, at_two, os.getpid()}))
"""
    assert printed(program) == ["y x 3"]


def test_a_single_process_makes_them_itself() -> None:
    assert printed("print(work(lambda _: os.getpid(), processes=1) == [os.getpid()])") == ["True"]


def test_what_a_piece_raises_is_raised() -> None:
    program = """
try:
    work(lambda run: 1, lambda run: run.table("nothing"))
except KeyError as error:
    print(error)
"""
    assert printed(program) == ["'nothing'"]


def test_where_a_process_is_killed_everything_is_made_here() -> None:
    program = """
here = os.getpid()
def dies(_):
    if os.getpid() != here:
        os.kill(os.getpid(), signal.SIGKILL)
    return "made"
print(*work(dies, lambda _: os.getpid() == here))
"""
    assert printed(program) == ["made True"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_process_outlives_the_one_that_shared_out(number: signal.Signals) -> None:
    program = """
def stays(_):
    os.write(1, b"%d\\n" % os.getpid())
    while True:
        time.sleep(60)
work(stays, stays)
"""
    with subprocess.Popen(command(program), env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        try:
            children = [psutil.Process(int(parent.stdout.readline())) for _ in range(2)]
        finally:
            parent.send_signal(number)
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive


def test_ctrl_c_ends_it_at_once_without_a_word_from_the_processes() -> None:
    program = """
def stays(_):
    os.write(1, b"%d\\n" % os.getpid())
    while True:
        time.sleep(60)
try:
    work(stays, stays)
except KeyboardInterrupt:
    print("interrupted")
"""
    with subprocess.Popen(
        command(program),
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as parent:
        assert parent.stdout
        assert parent.stderr
        for _ in range(2):
            parent.stdout.readline()
        os.killpg(parent.pid, signal.SIGINT)
        told, complaint = parent.communicate()
    assert (told, complaint) == ("interrupted\n", "")


def test_with_a_second_thread_nothing_is_shared_out() -> None:
    program = """
print(hands.process_count() == min(hands.MOST, len(os.sched_getaffinity(0))))
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
print(hands.process_count())
"""
    assert printed(program) == ["True", "1"]
