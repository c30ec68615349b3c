"""Sidekiq's retry schedule as a pure function: when a failed job runs again.

Retry n (0 after the first failure) waits n**4 + 15 + rand(10 * (n + 1)) seconds: 15, 16, 31, 96,
271, 640, 1311 … and a little more. 25 retries, so 26 runs, over about 20.4 days.

| variable             | meaning                                                    | default |
|----------------------|------------------------------------------------------------|---------|
| SIDEKIQ_RETRY_SCALE  | factor on every wait, for tests that cannot wait three weeks | 1.0     |
| SIDEKIQ_RETRY_LIMIT  | retries before a job is given up                           | 25      |
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Self

#: Retries before a job goes to the dead set.
DEFAULT_LIMIT: Final = 25
#: Factor on every wait.
DEFAULT_SCALE: Final = 1.0
#: Seconds that the shortest wait takes, before its jitter.
SHORTEST_S: Final = 15
#: Seconds of jitter that each further retry may add.
JITTER_STEP_S: Final = 10


class ScheduleError(ValueError):
    """A variable of the schedule that cannot be used; the text names it and what is expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How often and when failed jobs run again."""

    limit: int = DEFAULT_LIMIT
    scale: float = DEFAULT_SCALE

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read SIDEKIQ_RETRY_LIMIT and SIDEKIQ_RETRY_SCALE; raise ScheduleError for a bad one."""
        return cls(
            limit=int(_number(env, "SIDEKIQ_RETRY_LIMIT", DEFAULT_LIMIT, int)),
            scale=_number(env, "SIDEKIQ_RETRY_SCALE", DEFAULT_SCALE, float),
        )

    def delay_s(self, retry: int, *, below: Callable[[int], int] = random.randrange) -> float:
        """Return the seconds until retry number `retry`, from 0; `below(n)` draws jitter from 0 to n - 1."""
        return self.after_s(retry**4 + SHORTEST_S, retry, below=below)

    def after_s(self, seconds: float, retry: int, *, below: Callable[[int], int] = random.randrange) -> float:
        """As `delay_s`, with a wait of the task's own in place of the formula's."""
        return self.scale * (seconds + below(JITTER_STEP_S * (retry + 1)))


def _number(env: Mapping[str, str], name: str, default: float, kind: Callable[[str], float]) -> float:
    text = env.get(name) or str(default)
    try:
        number = kind(text)
    except ValueError:
        number = -1
    if not 0 <= number < float("inf"):
        message = f"{name} is {text!r}: expected {'a whole number' if kind is int else 'a number'} from 0"
        raise ScheduleError(message)
    return number
