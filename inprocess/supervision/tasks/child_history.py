"""What most children of a TaskSupervisor never have: an end asked for, a restart, a wait before one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inprocess.supervision.core.restarts import Backoff, RestartIntensity, RestartWindow

if TYPE_CHECKING:
    from inprocess.supervision.core.clock import Timer


class Past:
    """One child's; made when there is something to remember."""

    __slots__ = ("abandoned", "asked", "attempt", "began_at", "failures", "timer", "told_at", "window")

    def __init__(self) -> None:
        self.attempt = 1
        #: When the attempt began, s of the supervisor's clock; kept only where it backs off.
        self.began_at = 0.0
        #: When telemetry was told of the attempt's start, monotonic s.
        self.told_at: float | None = None
        #: Failures in a row.
        self.failures = 0
        self.asked = self.abandoned = False
        self.timer: Timer | None = None
        self.window: RestartWindow | None = None

    def own_window(self, intensity: RestartIntensity) -> RestartWindow:
        """The restarts of this child alone, counted against its own intensity."""
        if self.window is None:
            self.window = RestartWindow(intensity)
        return self.window

    def delay(self, backoff: Backoff, now: float) -> float:
        """Count a failure; return the seconds from `now`, when the attempt failed, to the next one."""
        self.failures = 1 if now - self.began_at > backoff.max_s else self.failures + 1
        return backoff.delay(self.failures)
