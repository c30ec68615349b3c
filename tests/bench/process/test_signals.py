"""SIGTERM and SIGHUP as Ctrl-C, in a process with a terminal of its own; and other runs on the machine."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.process import other_runs
from bench.process.process_table import ProcessTable

PATIENCE_S = 20.0
#: Waits in an event loop, and notes how that ended and whether it can still write.
WAITS = """
import asyncio, pathlib, sys
from bench.process.signals import interrupted_by_signals
out = pathlib.Path(sys.argv[1])
with interrupted_by_signals() as received:
    try:
        out.with_suffix(".up").touch()
        asyncio.run(asyncio.sleep(60))
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        out.write_text(" ".join(signal.name for signal in received) or "Ctrl-C")
"""


def awaited(path: Path) -> str:
    deadline = time.monotonic() + PATIENCE_S
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return path.read_text()


@pytest.mark.parametrize("ignored", [False, True], ids=["a terminal", "in the background of a script"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_interrupts_as_ctrl_c_does(tmp_path: Path, number: signal.Signals, *, ignored: bool) -> None:
    out = tmp_path / "out"
    program = subprocess.Popen(
        [sys.executable, "-c", WAITS, str(out)],
        preexec_fn=(lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) if ignored else None,  # noqa: PLW1509 - as sh does for `&`
    )
    awaited(out.with_suffix(".up"))
    program.send_signal(number)
    assert program.wait(PATIENCE_S) == 0
    assert out.read_text() == number.name


def test_a_terminal_that_is_closed_interrupts_and_what_is_written_to_it_is_dropped(tmp_path: Path) -> None:
    out = tmp_path / "out"
    ours, theirs = pty.openpty()
    program = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n{WAITS}",
            str(out),
        ],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    awaited(out.with_suffix(".up"))
    os.close(ours)
    assert program.wait(PATIENCE_S) == 0
    assert out.read_text() == "SIGHUP"


def test_a_run_on_the_same_machine_is_seen_for_as_long_as_it_lasts() -> None:
    code = (
        "import sys; from bench.process.process_table import ProcessTable\n"
        "with ProcessTable(purpose='run'): print('up', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "up\n"
        with ProcessTable(purpose=other_runs.RUN):
            found = other_runs.other_runs()
            assert run.pid in found
            assert os.getpid() not in found
        run.communicate("")
        assert run.pid not in other_runs.other_runs()
