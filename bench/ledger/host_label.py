"""The name of this host in the ledger: whose clock stamped an event.

Stamps are `time.monotonic_ns()`, which counts from the host's boot: two hosts' stamps say nothing of
each other (`bench.measures.events.clocks`). QUEUE_OR_TASK_HOST names a host. Without it the name is the
hostname and the kernel's boot id; so two containers of one machine count as two hosts, which costs
figures and makes none wrong. Give both the same name to say that they share a clock.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

HOST_VARIABLE = "QUEUE_OR_TASK_HOST"
#: Linux's name for the time since this boot of this kernel.
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
#: Characters of the boot id in the name: enough to distinguish two boots.
BOOT_CHARACTERS = 8


def label(env: Mapping[str, str]) -> str:
    """The name of this host."""
    return env.get(HOST_VARIABLE) or "/".join(filter(None, (socket.gethostname(), _boot())))


def _boot() -> str:
    try:
        return BOOT_ID.read_text()[:BOOT_CHARACTERS]
    except OSError:  # not Linux
        return ""
