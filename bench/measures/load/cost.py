"""What a latency block cost to run: from two samples of the side's processes and its broker."""

from __future__ import annotations

from typing import Protocol

from bench.measures.events.block import Block

#: Jobs that the processor time is given for.
PER_JOBS = 1_000


class Use(Protocol):
    """A side's use so far, summed over its processes, broker included (see `bench.stack.resources`)."""

    @property
    def cpu_s(self) -> float: ...  # noqa: D102 - the class says it
    @property
    def pss_mb(self) -> float: ...  # noqa: D102 - the class says it
    @property
    def processes(self) -> float: ...  # noqa: D102 - the class says it
    @property
    def sockets(self) -> float: ...  # noqa: D102 - the class says it
    @property
    def broker_commands(self) -> int: ...  # noqa: D102 - the class says it


def cost_row(
    block: Block, *, before: Use, after: Use, jobs: float, config_lines: int, cold_start_s: float
) -> dict[str, object]:
    """`TABLES["cost"]`: `jobs` is how many were done between the samples, as the run's host saw it.

    It is NaN where another host stamped all that would tell. Processor time and broker commands are
    what was used in between, and NaN where no job was done; memory, processes and sockets are those of
    the later sample, taken right after the load.
    """
    return {
        "block": block.block,
        "side": block.side,
        "repetition": block.repetition,
        "jobs": jobs,
        "cpu_s_per_1000": _per_job(after.cpu_s - before.cpu_s, jobs) * PER_JOBS,
        "pss_mb": after.pss_mb,
        "broker_commands_per_job": _per_job(after.broker_commands - before.broker_commands, jobs),
        "processes": after.processes,
        "sockets": after.sockets,
        "config_lines": config_lines,
        "cold_start_s": cold_start_s,
    }


def _per_job(used: float, jobs: float) -> float:
    return used / jobs if jobs else float("nan")
