"""The errors of the runtime. Each text says what was wrong and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from inprocess.supervision.core.exits import Exit


@dataclass(frozen=True, slots=True)
class Refused:
    """The error value of `start_child` and `Task.start`: nothing was started and nothing will be.

    A value instead of an exception, as in OTP, because a full supervisor is an expected answer that the
    caller has to check. `text` says why and what to do.
    """

    reason: Literal["max_children", "queue_full", "draining", "not_running", "no_answer"]
    text: str


class StartError(RuntimeError):
    """A process could not be started; the text names it and says why."""


class AlreadyStartedError(StartError):
    """The name, or the child's id, belongs to a process that is running (OTP's already_started)."""


class AlreadyPresentError(StartError):
    """The supervisor has a spec of this id, without a process: restart or delete it (already_present)."""


class ChildError(RuntimeError):
    """The operation does not fit the state of the child."""


class NoSuchChildError(ChildError, LookupError):
    """The supervisor has no child of this id, or does not know this process (OTP's not_found)."""


class ChildRunningError(ChildError):
    """The child is running: terminate it first (OTP's running)."""


class ChildRestartingError(ChildError):
    """The child's restart failed and will be tried again: terminate it first (OTP's restarting)."""


class LoopGoneError(RuntimeError):
    """Nothing that is sent to an event loop would run; the text says why.

    It is closed, does not run, was made before a fork, waits for the caller, or cannot start any more.
    """


class CallTimeoutError(TimeoutError):
    """The server did not reply in time. It may still handle the call."""


class ServerDiedError(RuntimeError):
    """The server ended before it replied, or was not running."""


class UnhandledMessageError(RuntimeError):
    """A server received a call or a cast without having a handler for it."""


class WorkerDiedError(RuntimeError):
    """The process or thread that ran a child's function ended before the function returned.

    `exit_code` is the process's, None if a signal killed it; `signal` is that signal's number.
    """

    def __init__(self, text: str, *, exit_code: int | None = None, signal: int | None = None) -> None:
        super().__init__(text)
        self.exit_code = exit_code
        self.signal = signal


class NotPicklableError(TypeError):
    """An object cannot be sent between two processes; the text names it and says why."""


class RemoteError(RuntimeError):
    """Replaces an exception of a worker process that cannot be pickled; has its type and text."""


class TaskRefusedError(StartError):
    """`async_`, `async_nolink` or `async_stream` started no task; `refused` says why, see `Refused`."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.text)
        self.refused = refused


class TaskExitError(RuntimeError):
    """An awaited task ended without a result: it was shut down or cancelled; `exit` says how."""

    def __init__(self, text: str, ended: Exit) -> None:
        super().__init__(text)
        self.exit = ended
