"""The backlog: jobs that are due and have not ended, and whether a side keeps up with its load.

A job ends with its effect, or when it is refused or given up; only an effect counts as done. A side
is overloaded in a window where the backlog grew by more than `GROWTH_SHARE` of what was due in it,
and by more than `LEAST_GROWTH` jobs, as the backlog varies by so much at any load. Then the response grows
for as long as the load lasts, so the growth is reported and no quantile of the response.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.measures.events.block import NS_PER_S, Event
from bench.measures.events.history import histories

#: The part of what was due in a window by which the backlog may grow there. A load of 120 % leaves a
#: sixth undone, one of 80 % nothing.
GROWTH_SHARE = 0.08
#: Jobs by which the backlog may always grow.
LEAST_GROWTH = 10

_ENDS = ("effect", "refused", "failed")
_Times = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Jobs:
    """When each job was due, done and ended (ns, shape (jobs,)); `inf` for what never came."""

    due: _Times
    done: _Times
    ended: _Times

    def waiting(self, t: float) -> int:
        """The backlog at a moment."""
        return int((self.due <= t).sum() - (self.ended <= t).sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """The backlog at both ends of a window."""

    seconds: float
    due_jobs: int
    done_jobs: int
    start: int
    end: int
    #: Age of the oldest job that waits at the end, s; 0 where none does.
    oldest_s: float
    #: From the window's end until the last of its jobs had ended, s; `inf` where one never did.
    cleared_s: float

    @property
    def growth_per_s(self) -> float:
        """Jobs by which the backlog grew each second."""
        return (self.end - self.start) / self.seconds

    @property
    def overloaded(self) -> bool:
        """Whether the side did not keep up."""
        return self.end - self.start > max(LEAST_GROWTH, GROWTH_SHARE * self.due_jobs)


def jobs(events: Iterable[Event]) -> Jobs:
    """Return the jobs of the request scenarios that have a due time."""
    known = [job for job in histories(events).values() if job.due is not None]
    ends = [[t for name in _ENDS if (t := job.first(name)) is not None] for job in known]
    return Jobs(
        due=np.array([job.due for job in known], dtype=np.float64),
        done=np.array([_or_never(job.first("effect")) for job in known], dtype=np.float64),
        ended=np.array([min(times, default=math.inf) for times in ends], dtype=np.float64),
    )


def backlog(seen: Jobs, start_ns: int, end_ns: int) -> Backlog:
    """Return the backlog over the window from `start_ns` to `end_ns`."""
    inside = (start_ns <= seen.due) & (seen.due < end_ns)
    late = seen.due[(seen.due <= end_ns) & (seen.ended > end_ns)]
    last = float(seen.ended[inside].max(initial=end_ns))
    return Backlog(
        seconds=(end_ns - start_ns) / NS_PER_S,
        due_jobs=int(inside.sum()),
        done_jobs=int(((start_ns <= seen.done) & (seen.done < end_ns)).sum()),
        start=seen.waiting(start_ns),
        end=seen.waiting(end_ns),
        oldest_s=(end_ns - float(late.min(initial=end_ns))) / NS_PER_S,
        cleared_s=(last - end_ns) / NS_PER_S,
    )


def _or_never(t: int | None) -> float:
    return math.inf if t is None else t
