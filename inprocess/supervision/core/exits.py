"""How a process ends, and whether it is restarted.

| exit                             | permanent        | transient | temporary | crash-logged |
|----------------------------------|------------------|-----------|-----------|--------------|
| normal                           | restart (counts) | no        | no        | no           |
| shutdown, with or without reason | restart          | no        | no        | no           |
| any other exception, killed      | restart          | restart   | no        | yes          |

The table is OTP's; `shutdown` with a reason is its `{shutdown, Reason}`. A Python task cannot be
killed; a task that is cancelled by anything but its supervisor counts as killed.

Any BaseException is a crash like an Exception. The two of ENDS_LOOP are then raised again, out of the event
loop, as asyncio does with those of its tasks.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, Literal

from inprocess.supervision.core.redact import repr_of, text_of

Restart = Literal["permanent", "transient", "temporary"]


@dataclass(frozen=True, slots=True)
class Exit:
    """The end of a process.

    `error` is the exception of a crash, else None. `reason` is the argument of Shutdown, if any.
    """

    kind: Literal["normal", "shutdown", "crash"]
    error: BaseException | None = None
    reason: object = None

    def __str__(self) -> str:
        if self.error is None:
            return self.kind if self.reason is None else f"{self.kind}: {text_of(self.reason)}"
        return "killed" if isinstance(self.error, asyncio.CancelledError) else repr_of(self.error)


#: What ends the program: a crash of the process that raises it, and raised again out of the loop.
ENDS_LOOP: Final = (KeyboardInterrupt, SystemExit)

NORMAL = Exit("normal")
SHUTDOWN = Exit("shutdown")


class Stop(Exception):  # noqa: N818 - a request to end, not an error
    """Raise it inside a process to end that process with exit normal."""


class Shutdown(Exception):  # noqa: N818 - a request to end, not an error
    """Raise it inside a process to end that process with exit shutdown; transient children stay ended.

    `Shutdown(reason)` is OTP's `{shutdown, Reason}`: the exit carries the reason.
    """

    def __init__(self, reason: object = None) -> None:
        super().__init__(*(() if reason is None else (reason,)))
        self.reason = reason


class Ignore(Exception):  # noqa: N818 - an answer of init, not an error
    """Raise it in `init` if there is nothing to run: not an error, as OTP's `ignore`.

    A supervisor keeps the child's spec without a process and goes on; it forgets a temporary child.
    """


def exit_of(error: BaseException | None) -> Exit:
    """Return the exit of a process that ended with `error`, or without one."""
    if error is None or isinstance(error, Stop):
        return NORMAL
    if not isinstance(error, Shutdown):
        return Exit("crash", error)
    return SHUTDOWN if error.reason is None else Exit("shutdown", reason=error.reason)


def killed() -> Exit:
    """Return the exit of a killed process. New each time, because its error collects a traceback."""
    return Exit("crash", asyncio.CancelledError())


def restarts(restart: Restart, ended: Exit) -> bool:
    """Whether a child with this restart value is restarted after this exit."""
    if restart == "transient":
        return ended.kind == "crash"
    return restart == "permanent"
