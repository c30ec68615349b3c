"""Log messages about a TaskSupervisor's children.

A crash is logged once an attempt: name, function and arguments (truncated, secrets hidden), the
supervisor and its ancestors up to the root, the caller of `Task.start`, and the servers and children that
started it, if there are any.
Refusals are logged too, at most one record in REFUSALS_S for each supervisor.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from logging import ERROR
from math import inf
from typing import Final

from inprocess.supervision.core.errors import Refused
from inprocess.supervision.core.exits import ENDS_LOOP, Exit
from inprocess.supervision.core.log import log
from inprocess.supervision.core.process import BaseProcess, ancestors
from inprocess.supervision.core.restarts import RestartIntensity
from inprocess.supervision.core.telemetry import attached, execute
from inprocess.supervision.lifecycle.drain import REPORTED_WORK
from inprocess.supervision.tasks.child import Child

#: Seconds between two log records of what one supervisor refuses.
REFUSALS_S: Final = 10.0


class Refusals:
    """Logs what a supervisor refuses, and executes the telemetry event of each. Any thread."""

    __slots__ = ("_logged_at", "_unlogged", "count")

    def __init__(self) -> None:
        #: Refusals since the start.
        self.count = 0
        self._logged_at = -inf
        self._unlogged = 0

    def note(self, supervisor: str, refusal: Refused) -> None:
        """Note one refusal."""
        self.count += 1
        if attached:
            metadata = {"supervisor": supervisor, "reason": refusal.reason, "text": refusal.text}
            execute(("task", "refused"), {}, metadata)
        now = time.monotonic()
        if now - self._logged_at < REFUSALS_S:
            self._unlogged += 1
            return
        unlogged, self._unlogged, self._logged_at = self._unlogged, 0, now
        log.warning(
            "a child was refused: %s%s",
            refusal.text,
            f" ({unlogged} more since the last line)" if unlogged else "",
        )


def crashed(supervisor: BaseProcess, child: Child, ended: Exit) -> None:
    """Log the crash of an attempt."""
    if not log.isEnabledFor(ERROR):  # to describe the child costs more than to restart it
        return
    asker = child.asked_for_by
    log.error(
        "%s under %s crashed in attempt %d: %s%s%s",
        child.describe(),
        " under ".join((supervisor.name, *ancestors(supervisor))),
        child.attempt,
        ended,
        "" if asker is None else f", asked for by {asker}",
        f"\n  callers: {' < '.join(child.callers)}" if child.callers else "",
        exc_info=None if isinstance(ended.error, asyncio.CancelledError) else ended.error,
    )


def intensity_reached(
    supervisor: BaseProcess, child: Child, intensity: RestartIntensity, others: Sequence[Child]
) -> None:
    """Log that the shared window is exceeded; `others` are the children that will be stopped."""
    dropped = [f"\n  {other.describe()} ({other.state}, attempt {other.attempt})" for other in others]
    if len(dropped) > REPORTED_WORK:
        dropped[REPORTED_WORK:] = [f"\n  and {len(dropped) - REPORTED_WORK} more"]
    log.error(
        "%s reached its restart intensity, more than %d restarts in %g s, with %s: it stops its other "
        "%d children and exits. Give children a window of their own (backoff=, or intensity=) to keep them "
        "apart%s%s",
        supervisor.name,
        intensity.max_restarts,
        intensity.max_seconds,
        child.describe(),
        len(others),
        ". Dropped:" if dropped else "",
        "".join(dropped),
    )


def given_up(supervisor: BaseProcess, child: Child, ended: Exit) -> None:
    """Log that a child's own window is exceeded, execute the telemetry event, and call its hook."""
    log.error(
        "%s under %s was given up after %d attempts: its own restart intensity is reached. Last exit: %s",
        child.describe(),
        supervisor.name,
        child.attempt,
        ended,
    )
    if attached:
        child.tell_given_up(ended)
    hook = child.options.on_give_up
    if hook is not None:
        try:
            hook(child, ended.error)
        except BaseException as error:
            log.exception("on_give_up of %s failed", child.name)
            if isinstance(error, ENDS_LOOP):
                raise
