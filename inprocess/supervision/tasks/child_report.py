"""Log messages about a TaskSupervisor's children.

A crash is logged once an attempt: name, function and arguments (truncated, secrets hidden), the
supervisor and its ancestors up to the root, and the caller of `Task.start` if there is one.
"""

from __future__ import annotations

import asyncio

from inprocess.supervision.core.exits import ENDS_LOOP, Exit
from inprocess.supervision.core.log import log
from inprocess.supervision.core.process import BaseProcess, ancestors
from inprocess.supervision.core.restarts import RestartIntensity
from inprocess.supervision.tasks.child import Child


def crashed(supervisor: BaseProcess, child: Child, ended: Exit) -> None:
    """Log the crash of an attempt."""
    asker = child.asked_for_by
    log.error(
        "%s under %s crashed in attempt %d: %s%s",
        child.describe(),
        " under ".join((supervisor.name, *ancestors(supervisor))),
        child.attempt,
        ended,
        "" if asker is None else f", asked for by {asker}",
        exc_info=None if isinstance(ended.error, asyncio.CancelledError) else ended.error,
    )


def intensity_reached(
    supervisor: BaseProcess, child: Child, intensity: RestartIntensity, others: int
) -> None:
    """Log that the shared window is exceeded; `others` are the children that will be stopped."""
    log.error(
        "%s reached its restart intensity, more than %d restarts in %g s, with %s: it stops its other "
        "%d children and exits. Give children a window of their own (intensity=) to keep them apart",
        supervisor.name,
        intensity.max_restarts,
        intensity.max_seconds,
        child.describe(),
        others,
    )


def given_up(supervisor: BaseProcess, child: Child, ended: Exit) -> None:
    """Log that a child's own window is exceeded, and call its hook."""
    log.error(
        "%s under %s was given up after %d attempts: its own restart intensity is reached. Last exit: %s",
        child.describe(),
        supervisor.name,
        child.attempt,
        ended,
    )
    hook = child.options.on_give_up
    if hook is not None:
        try:
            hook(child, ended.error)
        except BaseException as error:
            log.exception("on_give_up of %s failed", child.name)
            if isinstance(error, ENDS_LOOP):
                raise
