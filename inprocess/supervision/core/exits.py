"""How a process ends, and whether it is started again.

| exit                          | permanent        | transient | temporary | crash-logged |
|-------------------------------|------------------|-----------|-----------|--------------|
| normal                        | restart (counts) | no        | no        | no           |
| shutdown, with or without why | restart          | no        | no        | no           |
| any other exception, killed   | restart          | restart   | no        | yes          |

The table is OTP's; `shutdown` with a reason is its `{shutdown, Reason}`. A Python task cannot be
killed; a task that somebody other than its supervisor cancelled counts as killed.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal

Restart = Literal["permanent", "transient", "temporary"]


@dataclass(frozen=True, slots=True)
class Exit:
    """The end of a process: `error` is what it crashed with, None unless `kind` is crash.

    `reason` is what was given to Shutdown, None unless `kind` is shutdown.
    """

    kind: Literal["normal", "shutdown", "crash"]
    error: BaseException | None = None
    reason: object = None

    def __str__(self) -> str:
        if self.error is None:
            return self.kind if self.reason is None else f"{self.kind}: {self.reason}"
        return "killed" if isinstance(self.error, asyncio.CancelledError) else repr(self.error)


NORMAL = Exit("normal")
SHUTDOWN = Exit("shutdown")


class Stop(Exception):  # noqa: N818 - a request to end, not an error
    """Raised inside a process: end with reason normal."""


class Shutdown(Exception):  # noqa: N818 - a request to end, not an error
    """Raised inside a process: end with reason shutdown, which for transient is as good as normal.

    `Shutdown(reason)` says why, as OTP's `{shutdown, Reason}`: the exit carries the reason.
    """

    def __init__(self, reason: object = None) -> None:
        super().__init__(*(() if reason is None else (reason,)))
        self.reason = reason


class Ignore(Exception):  # noqa: N818 - an answer of init, not an error
    """Raised in `init`: there is nothing to run here and now, and that is well.

    As OTP's `ignore`: a supervisor keeps the child's spec, with no process, and goes on; a
    temporary child is forgotten.
    """


def exit_of(error: BaseException | None) -> Exit:
    """The exit of a process that ended with `error`, or without one."""
    if error is None or isinstance(error, Stop):
        return NORMAL
    if not isinstance(error, Shutdown):
        return Exit("crash", error)
    return SHUTDOWN if error.reason is None else Exit("shutdown", reason=error.reason)


def killed() -> Exit:
    """The exit of a process that was killed. A new one each time: its error gathers a traceback."""
    return Exit("crash", asyncio.CancelledError())


def restarts(restart: Restart, ended: Exit) -> bool:
    """Whether a child with this restart value is started again after this exit."""
    if restart == "transient":
        return ended.kind == "crash"
    return restart == "permanent"
