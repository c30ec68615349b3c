"""What the log says about a TaskSupervisor's children.

A crash is logged once, for the attempt that crashed: name, function and arguments (cut, secrets
hidden), the supervisor and its ancestors up to the root, and who asked for the work where that
is known.
"""

from __future__ import annotations

import asyncio

from inprocess.supervision.core.exits import Exit
from inprocess.supervision.core.log import log
from inprocess.supervision.core.process import BaseProcess, ancestors
from inprocess.supervision.core.restarts import RestartIntensity
from inprocess.supervision.tasks.child import Child


def crashed(supervisor: BaseProcess, child: Child, ended: Exit) -> None:
    """Log that an attempt crashed."""
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
    """Log that the window which all children share has run out; `others` are the children that it stops."""
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
    """Log that a child's own window has run out, and call its hook."""
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
        except Exception:  # noqa: BLE001 - a hook must not end the supervisor
            log.exception("on_give_up of %s failed", child.name)
