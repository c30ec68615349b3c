"""Restart intensity and back-off: how often a child is restarted, and after what delay.

The window is OTP's. At each automatic restart at time `now`, keep the earlier restarts with
`r >= now - max_seconds` (inclusive) and add `now`; restart if there are at most `max_restarts`,
else give up. With 3 in 5 s the fourth restart is refused, with 0 the first. OTP truncates the time
to whole seconds; this does not.

OTP has no back-off; `Backoff` is an addition and off by default.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

#: Restarts that a supervisor allows within its window, OTP's default.
MAX_RESTARTS = 3
#: Length of the window, s, OTP's default.
MAX_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class RestartIntensity:
    """At most `max_restarts` restarts within `max_seconds`; raise ValueError for values out of range."""

    max_restarts: int = MAX_RESTARTS
    max_seconds: float = MAX_SECONDS

    def __post_init__(self) -> None:
        if self.max_restarts < 0 or not self.max_seconds > 0:
            message = f"{self}: expected max_restarts of at least 0 and max_seconds above 0"
            raise ValueError(message)


def check_max_children(bound: float) -> None:
    """Raise ValueError for a number of children that cannot be."""
    given: object = bound
    if not isinstance(given, int | float) or not given >= 0:
        raise ValueError(f"max_children is {bound!r}: expected a number of at least 0, or math.inf for none")


class RestartWindow:
    """The recent restarts, counted against an intensity."""

    __slots__ = ("_intensity", "_restarts")

    def __init__(self, intensity: RestartIntensity) -> None:
        self._intensity = intensity
        self._restarts: deque[float] = deque()

    def allows(self, now: float) -> bool:
        """Count a restart at `now` (monotonic seconds) and return whether it is allowed."""
        oldest = now - self._intensity.max_seconds
        while self._restarts and self._restarts[0] < oldest:
            self._restarts.popleft()
        self._restarts.append(now)
        return len(self._restarts) <= self._intensity.max_restarts


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Wait before each restart: `initial_s`, then `factor` times longer each time, up to `max_s`.

    Adds a random part of up to `jitter` times the delay, so that children that fail together do not
    come back together. The count starts again after an attempt that lived longer than `max_s`. Raise
    ValueError for values out of range.
    """

    initial_s: float = 1.0
    factor: float = 2.0
    max_s: float = 60.0
    jitter: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.initial_s <= self.max_s or self.factor < 1 or self.jitter < 0:
            message = f"{self}: expected 0 <= initial_s <= max_s, factor >= 1 and jitter >= 0"
            raise ValueError(message)

    def delay(self, failures: int, chance: Callable[[], float] = random.random) -> float:
        """Return the delay after the n-th failure in a row (from 1); `chance` returns 0 to 1."""
        try:
            seconds = min(self.max_s, self.initial_s * self.factor ** (failures - 1))
        except OverflowError:
            seconds = self.max_s
        return seconds * (1 + self.jitter * chance())
