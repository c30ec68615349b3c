"""Work shared out over forked processes, in a program of its own: forking is for a single thread."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import pytest

#: What every program begins with; `work(…)` gives what pieces make of a run with so many processes.
BEGIN = """
import ctypes, os, signal, sys, threading, time
from reports.pages import fork_pool as hands
from reports.data.run import Run
def work(*pieces, processes=2):
    return hands.run_pieces(Run("here", {}, {}, (), ()), pieces, processes=processes)
"""


@contextmanager
def started(program: str) -> Iterator[subprocess.Popen[str]]:
    """Start a program in a process group of its own, which is killed whatever becomes of the test."""
    command = sys.executable, "-W", "error", "-c", BEGIN + program
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    parent = subprocess.Popen(
        command, env=environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    )
    try:
        yield parent
    finally:
        with suppress(ProcessLookupError):
            os.killpg(parent.pid, signal.SIGKILL)
        parent.communicate()


def printed(program: str) -> list[str]:
    with started(program) as parent:
        told, complaint = parent.communicate()
    assert (parent.returncode, complaint) == (0, "")
    return told.splitlines()


def said(parent: subprocess.Popen[str], count: int) -> list[int]:
    """Read so many lines, each a number."""
    assert parent.stdout
    return [int(parent.stdout.readline()) for _ in range(count)]


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


#: A piece says who makes it, and never ends.
STAYS = """
def stays(_):
    os.write(1, b"%d\\n" % os.getpid())
    while True:
        time.sleep(60)
"""
#: As STAYS, in C code that never lets another thread of its process run.
STAYS_IN_C = """
def stays(_):
    os.write(1, b"%d\\n" % os.getpid())
    ctypes.PyDLL(None).sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("piece", [STAYS, STAYS_IN_C], ids=["in Python", "in C"])
def test_no_process_outlives_the_one_that_shared_out(piece: str, number: signal.Signals) -> None:
    with started(piece + "work(stays, stays)") as parent:
        children = [psutil.Process(pid) for pid in said(parent, 2)]
        parent.send_signal(number)
        _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive


def test_ctrl_c_ends_it_at_once_without_a_word_from_the_processes() -> None:
    program = """
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job begins without
try:
    work(stays, stays)
except KeyboardInterrupt:
    print("interrupted")
"""
    with started(STAYS + program) as parent:
        said(parent, 2)
        os.killpg(parent.pid, signal.SIGINT)
        assert parent.communicate() == ("interrupted\n", "")


def test_with_a_second_thread_nothing_is_shared_out() -> None:
    program = """
print(hands.process_count() == min(hands.MOST, len(os.sched_getaffinity(0))))
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
print(hands.process_count())
"""
    assert printed(program) == ["True", "1"]
