"""Resources that a side has used: processor time, memory, sockets and broker commands."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import psutil
import redis

from bench.process.process_table import with_children
from bench.stack.stack import Stack


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A side's use of the machine at one moment, summed over its processes, broker included.

    NaN where the run did not start one of them; the broker's commands are always counted.
    """

    #: When it was taken, monotonic nanoseconds.
    t_ns: int
    cpu_s: float
    pss_mb: float
    processes: float
    sockets: float
    broker_commands: int


def sample(stack: Stack) -> Sample:
    """Take a sample; a process that ended meanwhile counts nothing."""
    family = [member for pid in stack.processes.pids() for member in with_children(pid)]
    whole = stack.processes.whole
    return Sample(
        t_ns=time.monotonic_ns(),
        cpu_s=stack.processes.cpu_s() if whole else math.nan,
        pss_mb=sum(_pss_mb(member) for member in family) if whole else math.nan,
        processes=len(family) if whole else math.nan,
        sockets=sum(_sockets(member) for member in family) if whole else math.nan,
        broker_commands=_broker_commands(stack),
    )


def _pss_mb(process: psutil.Process) -> float:
    try:
        return float(process.memory_full_info().pss) / 1e6
    except (psutil.Error, AttributeError):  # AttributeError: macOS counts no PSS
        return 0.0


def _sockets(process: psutil.Process) -> int:
    try:
        return len(process.net_connections(kind="all"))
    except psutil.Error:
        return 0


def _broker_commands(stack: Stack) -> int:
    if stack.processes.broker is None:
        return 0
    with redis.Redis.from_url(stack.processes.broker.url) as client:
        return int(client.info("stats")["total_commands_processed"])
