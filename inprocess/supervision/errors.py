"""What can go wrong between processes, each with a text that a person can act on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Refused:
    """The error value of `start_child` and `Task.start`: nothing was started, nothing will run later.

    A value and no exception, as in OTP: a full supervisor is an answer that the caller has
    to look at. `text` says why and what to do.
    """

    reason: Literal["max_children", "draining", "not_running", "no_answer"]
    text: str


class StartError(RuntimeError):
    """A process could not be started; the text names it and says why."""


class AlreadyStartedError(StartError):
    """The name, or the child's id, belongs to a process that is running."""


class CallTimeoutError(TimeoutError):
    """The server did not reply in time; it may still do what it was asked."""


class ServerDiedError(RuntimeError):
    """The server ended before it replied, or was not running."""


class UnhandledMessageError(RuntimeError):
    """A server got a call or a cast that it has no handler for."""
