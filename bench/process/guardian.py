"""Ends the processes of a run, even when the run itself is killed.

The run holds this process's standard input open and writes `+ <group>` for each process
group that it starts and `- <group>` for each that it has ended. When the pipe closes,
because the run ended or was killed, every group still on the list gets SIGKILL.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterable


def remaining(lines: Iterable[str]) -> list[int]:
    """The groups that were added and not removed, oldest first."""
    groups: dict[int, None] = {}
    for line in lines:
        sign, _, number = line.strip().partition(" ")
        if not number.isdigit():
            continue
        if sign == "+":
            groups[int(number)] = None
        else:
            groups.pop(int(number), None)
    return list(groups)


def main() -> None:
    """Wait for the end of standard input, then kill what is left."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for group in remaining(sys.stdin):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
