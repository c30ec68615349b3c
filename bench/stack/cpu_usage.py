"""Processor time used so far, by whom; two readings make a `CpuShares`."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

from bench.measures.load.cpu_shares import CpuShares
from bench.process.process_table import Process, cpu_s
from bench.stack.parts import PROXY, SERVICES
from bench.stack.stack import Stack


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """One reading; seconds of processor time since each process began, by those that have ended too."""

    t_ns: int
    #: NaN where a part of the side is on another host or not started by the run.
    side_s: float
    #: NaN where the services do not belong to the block.
    services_s: float
    generator_s: float
    harness_s: float
    busy_s: float
    stolen_s: float


def read(
    stack: Stack, generator: Process | None = None, *, concurrently: Iterable[Process] = (), blocks: int = 1
) -> Usage:
    """Read the processor time; `concurrently` are measuring processes, such as the hiccup meter.

    `blocks` is the number of blocks that run at once: each has an equal share of the harness's time.
    """
    machine = psutil.cpu_times()
    measuring = [*concurrently, *(part for name, part in stack.processes.parts.items() if name == PROXY)]
    services = [part for name, part in stack.processes.parts.items() if name == SERVICES]
    idle_s = machine.idle + getattr(machine, "iowait", 0.0)
    stolen_s = getattr(machine, "steal", 0.0)
    return Usage(
        t_ns=time.monotonic_ns(),
        side_s=stack.processes.cpu_s() if stack.processes.whole else math.nan,
        services_s=sum(part.cpu_s() for part in services) if stack.own_services else math.nan,
        generator_s=_alone([generator.pid] if generator else []),
        harness_s=_alone([os.getpid()]) / blocks + _alone(process.pid for process in measuring),
        busy_s=sum(_counted(machine)) - idle_s - stolen_s,
        stolen_s=stolen_s,
    )


def between(before: Usage, after: Usage) -> CpuShares:
    """The use between two readings."""
    return CpuShares(
        seconds=(after.t_ns - before.t_ns) / 1e9,
        cores=psutil.cpu_count() or 1,
        side_s=after.side_s - before.side_s,
        services_s=after.services_s - before.services_s,
        generator_s=after.generator_s - before.generator_s,
        harness_s=after.harness_s - before.harness_s,
        busy_s=after.busy_s - before.busy_s,
        stolen_s=after.stolen_s - before.stolen_s,
    )


def _counted(machine: object) -> list[float]:
    """The fields that add up to the total: guest time is part of user time."""
    names = getattr(machine, "_fields", ())
    return [getattr(machine, name) for name in names if not name.startswith("guest")]


def _alone(pids: Iterable[int]) -> float:
    return sum(_of(pid) for pid in pids)


def _of(pid: int) -> float:
    try:
        return cpu_s(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return 0.0
