"""Programs that a test starts and ends by a signal, and what they leave behind."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

#: Seconds within which a program has begun, and has ended after its signal.
PATIENCE_S = 60.0


def ended_by(
    number: int,
    command: Sequence[str],
    *,
    begun: Callable[[list[psutil.Process]], bool],
    env: Mapping[str, str],
    cwd: Path,
) -> tuple[int, str]:
    """Start a program, send it the signal once it has `begun`, by its descendants; return code and output.

    Fail if one of those is alive afterwards.
    """
    with subprocess.Popen(
        command, env=dict(env), cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as started:
        program, family = psutil.Process(started.pid), list[psutil.Process]()
        deadline = time.monotonic() + PATIENCE_S
        while not begun(family):
            assert started.poll() is None, started.communicate()[0]
            assert time.monotonic() < deadline, family
            time.sleep(0.05)
            family = program.children(recursive=True)
        started.send_signal(number)
        said, _ = started.communicate(timeout=PATIENCE_S)
    _, alive = psutil.wait_procs(family, timeout=PATIENCE_S)
    for process in alive:
        process.kill()
    assert not alive
    return started.returncode, said
