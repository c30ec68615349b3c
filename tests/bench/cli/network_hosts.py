"""Two hosts on one machine: network namespaces with a cable between them.

A namespace lives as long as a process in it. Each has a process that holds it, and all that is started in one
ends with the process that started it (`setpriv --pdeathsig`), however that ends: neither Ctrl-C nor a kill of
the tests leaves a namespace, a broker or a worker behind.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

#: The two hosts, and the address of the second.
A, B = "A", "B"
ADDRESS = "10.213.77.2"
#: Seconds that a namespace may take to be there.
READY_S = 20.0
TOOLS = {"ip": "iproute2", "unshare": "util-linux", "nsenter": "util-linux", "setpriv": "util-linux"}

_holders: dict[str, subprocess.Popen[str]] = {}


def inside(host: str, command: list[str]) -> list[str]:
    """The command, as it is run on a host."""
    namespace = f"--net=/proc/{_holders[host].pid}/ns/net"
    return ["setpriv", "--pdeathsig", "TERM", "nsenter", namespace, "--", *command]


@contextmanager
def two_hosts() -> Iterator[None]:
    """Both hosts and the cable; the test is skipped where there can be none, and fails for that on CI."""
    reason = _missing()
    try:
        reason = reason or _hold(A) or _hold(B)
        if reason and os.geteuid() == 0 and os.environ.get("CI"):
            pytest.fail(reason)
        if reason:
            pytest.skip(reason)
        ends = ["netns", str(_holders[A].pid), "type", "veth", "peer", "name", "cable"]
        _run(["ip", "link", "add", "cable", *ends, "netns", str(_holders[B].pid)])
        for host, address in ((A, "10.213.77.1"), (B, ADDRESS)):
            _run(inside(host, ["ip", "addr", "add", f"{address}/24", "dev", "cable"]))
            for device in ("cable", "lo"):
                _run(inside(host, ["ip", "link", "set", device, "up"]))
        yield
    finally:
        for holder in _holders.values():
            holder.kill()
            holder.communicate()
        _holders.clear()


def _missing() -> str:
    """Why there can be no second host here, or nothing."""
    if os.geteuid() != 0:
        return "network namespaces need root: run the tests as root for this one"
    for tool, package in TOOLS.items():
        if shutil.which(tool) is None:
            return f"{tool} is missing: apt-get install {package}"
    return ""


def _hold(host: str) -> str:
    """Start the process that holds a namespace; return why there is none, or nothing."""
    command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sleep", "infinity"]
    holder = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    _holders[host] = holder
    deadline = time.monotonic() + READY_S
    while _namespace(holder.pid) == _namespace(os.getpid()):
        if holder.poll() is not None or time.monotonic() > deadline:
            holder.kill()
            error = holder.stderr.read() if holder.stderr else ""
            return f"this root may make no network namespace: {error.strip()}"
        time.sleep(0.01)
    return ""


def _namespace(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/net").readlink())
    except OSError:  # it has ended
        return str(Path("/proc/self/ns/net").readlink())


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
