"""What the log and telemetry say about a TaskSupervisor's children.

A crash is logged once, by the attempt that crashed: name, function and arguments (cut, secrets
hidden), the supervisor and its ancestors up to the root, and who asked for the work where that
is known. Telemetry, only where a handler is attached: `("task", "start")` as an attempt begins
and `("task", "stop")` or, where it crashed, `("task", "exception")` as it ends.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from inprocess.supervision.core import telemetry
from inprocess.supervision.core.process import Process, log

if TYPE_CHECKING:
    from inprocess.supervision.core.exits import Exit
    from inprocess.supervision.core.restarts import RestartIntensity
    from inprocess.supervision.tasks.child import Child
    from inprocess.supervision.tasks.task_supervisor_base import TaskParent


def crashed(supervisor: TaskParent, child: Child, ended: Exit) -> None:
    """Log that an attempt crashed."""
    asker = child.asked_for_by
    log.error(
        "%s under %s crashed in attempt %d: %s%s",
        child.describe(),
        " under ".join(lineage(supervisor)),
        child.attempt,
        ended,
        "" if asker is None else f", asked for by {asker}",
        exc_info=None if isinstance(ended.error, asyncio.CancelledError) else ended.error,
    )


def intensity_reached(supervisor: TaskParent, child: Child, intensity: RestartIntensity) -> None:
    """Log that the window which all children share has run out."""
    log.error(
        "%s reached its restart intensity, more than %d restarts in %g s, with %s: it stops its other "
        "%d children and exits. Give children a window of their own (intensity=) to keep them apart",
        supervisor.name,
        intensity.max_restarts,
        intensity.max_seconds,
        child.describe(),
        supervisor.count,
    )


def given_up(supervisor: TaskParent, child: Child, ended: Exit) -> None:
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


def attempt_started(child: Child) -> None:
    """Tell telemetry that an attempt begins."""
    now = time.monotonic()
    child.remembered().told_at = now
    measurements = {"monotonic_time": now, "system_time": time.time()}
    telemetry.execute(("task", "start"), measurements, _about(child))


def attempt_ended(child: Child, ended: Exit) -> None:
    """Tell telemetry how an attempt ended; one that began while nobody listened has no duration."""
    now = time.monotonic()
    measurements = {"monotonic_time": now}
    past = child.past
    if past is not None and past.told_at is not None:
        measurements["duration"] = now - past.told_at
        past.told_at = None
    metadata = _about(child) | {"exit": ended}
    if ended.kind == "crash":
        telemetry.execute(("task", "exception"), measurements, metadata | {"error": ended.error})
    else:
        telemetry.execute(("task", "stop"), measurements, metadata)


def lineage(process: Process) -> list[str]:
    """Its name and those of its ancestors, up to the root."""
    names = [process.name]
    above = process.parent
    while above is not None:
        names.append(above.name)
        above = above.parent
    return names


def _about(child: Child) -> dict[str, Any]:
    return {"name": child.name, "attempt": child.attempt, "child": child, "supervisor": child.supervisor.name}
