"""Down: the message that tells a server of the end of another process. OTP's DOWN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from inprocess.supervision.core.exits import Exit
from inprocess.supervision.core.process import Ending, Process


class Receiver(Protocol):
    """The process of the server that is told."""

    def down(self, message: Down, /) -> None:
        """Receive the message."""

    def forget(self, monitor: Monitor, message: Down | None, /) -> None:
        """Drop a monitor, and its message if that waits."""


class Monitor:
    """Waits for the end of a process, to tell a server. Made by `GenServer.send_down`."""

    __slots__ = ("_ending", "_message", "_receiver", "process")

    def __init__(self, receiver: Receiver, process: Process | Ending, ending: Ending) -> None:
        #: The process, or the child of a TaskSupervisor, that is monitored.
        self.process: Any = process
        self._receiver = receiver
        self._message: Down | None = None
        self._ending = ending

    def begin(self) -> None:
        """Begin to wait; if it has ended, tell it now."""
        self._ending.monitor(self._ended)

    def cancel(self) -> None:
        """Do not tell it: no Down of this monitor is handled after this. OTP's `demonitor` with `flush`."""
        self._ending.demonitor(self._ended)
        self._receiver.forget(self, self._message)

    def _ended(self, ended: Exit) -> None:
        self._message = Down(self, self.process, ended)
        self._receiver.down(self._message)


@dataclass(frozen=True, slots=True, eq=False)
class Down:
    """Received by `handle_info` at the end of a process that is monitored by `GenServer.send_down`."""

    #: What `send_down` returned.
    monitor: Monitor
    #: The process that has ended.
    process: Any
    exit: Exit
