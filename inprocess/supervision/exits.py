"""How a process ends, and whether it is started again.

| exit                          | permanent        | transient | temporary | crash-logged |
|-------------------------------|------------------|-----------|-----------|--------------|
| normal                        | restart (counts) | no        | no        | no           |
| shutdown                      | restart          | no        | no        | no           |
| any other exception, killed   | restart          | restart   | no        | yes          |

The table is OTP's. A Python task cannot be killed; a task that somebody other than its
supervisor cancelled counts as killed.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal

Restart = Literal["permanent", "transient", "temporary"]


@dataclass(frozen=True, slots=True)
class Exit:
    """The end of a process: `error` is what it crashed with, None unless `kind` is crash."""

    kind: Literal["normal", "shutdown", "crash"]
    error: BaseException | None = None

    def __str__(self) -> str:
        if self.error is None:
            return self.kind
        return "killed" if isinstance(self.error, asyncio.CancelledError) else repr(self.error)


NORMAL = Exit("normal")
SHUTDOWN = Exit("shutdown")


class Stop(Exception):  # noqa: N818 - a request to end, not an error
    """Raised inside a process: end with reason normal."""


class Shutdown(Exception):  # noqa: N818 - a request to end, not an error
    """Raised inside a process: end with reason shutdown, which for transient is as good as normal."""


def exit_of(error: BaseException | None) -> Exit:
    """The exit of a process that ended with `error`, or without one."""
    if error is None or isinstance(error, Stop):
        return NORMAL
    return SHUTDOWN if isinstance(error, Shutdown) else Exit("crash", error)


def restarts(restart: Restart, ended: Exit) -> bool:
    """Whether a child with this restart value is started again after this exit."""
    if restart == "transient":
        return ended.kind == "crash"
    return restart == "permanent"
