"""The processes of a run: each in a group of its own, each ended by its pid, none outliving the run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from bench.errors import BenchError
from bench.process import guardian
from queue_or_task import module_command

#: Seconds that a process may take to end after SIGTERM before its group is killed.
STOP_GRACE_S = 10.0
#: Seconds that a platform gives a process to end at a deploy before it kills it.
PLATFORM_GRACE_S = 20.0
#: Seconds between two polls of a process or a file.
POLL_S = 0.02


class Process:
    """A child process, the leader of its own session and group."""

    def __init__(self, name: str, popen: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.log = log
        self._popen = popen
        self._used_s = 0.0
        self._reaping = threading.Lock()

    @property
    def pid(self) -> int:
        """The process id, which is its group's id as well."""
        return self._popen.pid

    def exit_code(self) -> int | None:
        """The exit code, or None while it runs; negative for a signal."""
        self._reap(os.WNOHANG)
        return self._popen.returncode

    def cpu_s(self) -> float:
        """Seconds of processor time that it and all that it started have used.

        After its end: the same at its end. Of processes that outlive it, or die with its group, what
        they had used at the last reading.
        """
        if self.exit_code() is None:
            self._used_s = max(self._used_s, family_cpu_s(self.pid))
        return self._used_s

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to it and to all that it started, as a service manager does."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the leader alone; nothing happens where it has ended."""
        if self.exit_code() is None:
            self._popen.send_signal(number)

    def kill(self) -> None:
        """Send SIGKILL to the whole group, as a machine that goes down would."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._reap()

    async def ended(self, *, within_s: float) -> bool:
        """Wait for its end; return whether it came in time."""
        deadline = asyncio.get_running_loop().time() + within_s
        while self.exit_code() is None:
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(POLL_S)
        return True

    async def stop(self, *, grace_s: float = STOP_GRACE_S, whole_group: bool = False) -> bool:
        """Send SIGTERM, wait for the grace, then kill the rest of its group; return whether it ended in time.

        With `whole_group` all that it started gets the signal too.
        """
        self.signal(signal.SIGCONT)
        (self.signal_group if whole_group else self.signal)(signal.SIGTERM)
        in_time = await self.ended(within_s=grace_s)
        self.kill()
        return in_time

    def tail(self, lines: int = 5) -> str:
        """The last lines of its log, for an error message."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def _reap(self, options: int = 0) -> None:
        """Wait for its end, unless `options` say otherwise, and keep its exit code and processor time.

        `Popen.wait` does not tell the time, and a process that was waited for has none.
        """
        with self._reaping:
            if self._popen.returncode is not None:
                return
            try:
                pid, status, usage = os.wait4(self.pid, options)
            except ChildProcessError:  # something else has waited for it
                self._popen.poll()
                return
            if pid:
                self._popen.returncode = os.waitstatus_to_exitcode(status)
                self._used_s = max(self._used_s, usage.ru_utime + usage.ru_stime)


class ProcessTable:
    """Starts processes that the guardian ends if this one is killed (see `bench.process.guardian`)."""

    def __init__(self, *, purpose: str = "") -> None:
        """`purpose` is the last word of the guardian's command: `other_runs.RUN` for a run."""
        self._processes: list[Process] = []
        self._guardian = subprocess.Popen(
            module_command(guardian.__name__, purpose),
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill whatever is still alive; by now every block has stopped its own."""
        if self._guardian.stdin is not None:
            self._guardian.stdin.close()
        self._guardian.wait()
        for process in self._processes:
            process.kill()

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        folder: Path,
        cwd: Path | None = None,
    ) -> Process:
        """Start a process whose output goes to `<folder>/<name>.log`; it runs in that folder, or in `cwd`."""
        log = folder / f"{name}.log"
        with log.open("ab") as output:
            popen = subprocess.Popen(
                command,
                env=dict(env),
                cwd=cwd or folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.adopt(popen.pid)
        process = Process(name, popen, log)
        self._processes.append(process)
        return process

    def started_in(self, folder: Path) -> list[Process]:
        """The processes that were started with this folder, and not stopped."""
        return [process for process in self._processes if process.log.parent == folder]

    def adopt(self, group: int) -> None:
        """Have the guardian end a process group that something else started."""
        self._tell(f"+ {group}")

    def forget(self, group: int) -> None:
        """Take a group off the guardian's list: it has ended, and its number may be used again."""
        self._tell(f"- {group}")

    async def stop(self, process: Process, *, grace_s: float = STOP_GRACE_S) -> None:
        """Stop a process and take it off the list."""
        await process.stop(grace_s=grace_s)
        self.kill(process)

    def kill(self, process: Process) -> None:
        """Kill a process with its group and take it off the list."""
        process.kill()
        self.forget(process.pid)
        self._processes.remove(process)

    def _tell(self, line: str) -> None:
        if self._guardian.stdin is not None:
            self._guardian.stdin.write(f"{line}\n".encode())
            self._guardian.stdin.flush()


async def wait_for_file(process: Process, path: Path) -> str:
    """Wait for a file that a process writes, and read it; raise BenchError if the process ends before."""
    while not path.exists():
        if process.exit_code() is not None:
            raise BenchError(f"{process.name} ended at its start: {process.tail(1)}")
        await asyncio.sleep(POLL_S)
    return path.read_text()


def failed_exit_codes(parts: Mapping[str, Process]) -> dict[str, int]:
    """The exit codes of those that ended with an error; an end by a signal is not one."""
    codes = {name: part.exit_code() for name, part in parts.items()}
    return {name: code for name, code in codes.items() if code is not None and code > 0}


def with_children(pid: int) -> list[psutil.Process]:
    """A process and all that it started; none where it has ended."""
    try:
        leader = psutil.Process(pid)
        return [leader, *leader.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_s(process: psutil.Process, *, reaped: bool = False) -> float:
    """Seconds of processor time that it has used, with `reaped` also by ended children; 0 after its end."""
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    own_s = float(times.user + times.system)
    return own_s + float(times.children_user + times.children_system) if reaped else own_s


def family_cpu_s(pid: int) -> float:
    """Seconds of processor time of a process and all that it started, ended ones included."""
    return sum(cpu_s(member, reaped=True) for member in with_children(pid))


def rss_mb(process: psutil.Process) -> float:
    """What it holds in memory, shared pages included; 0 where it has ended."""
    try:
        return float(process.memory_info().rss) / 1e6
    except psutil.Error:
        return 0.0
