"""What becomes of a tick: the policies of periodic work, as pure functions and plain records.

Misfire: what happens to ticks that no beat could serve in time, since none was alive, or the broker was
away. A tick is a misfire when it is got to more than `grace_s` late; by default that is until the next one
is due, so the last tick that is due is sent late and the ones before it are misfires.

| misfire  | 3.5 intervals later, with the default grace                           |
|----------|-----------------------------------------------------------------------|
| skip     | the ticks in time are sent, here the last one; misfires are dropped    |
| coalesce | one run for all that is due, however late it is                        |

Overlap: what happens to a tick while the run before it is queued or running.

| overlap | the tick that comes too soon |
|---------|------------------------------|
| skip    | is dropped                   |
| allow   | is queued all the same       |

Expiry: a run that has not begun by the next tick is dropped by the worker (Celery's `expires`), unless the
entry says when: a number of seconds, a moment, or None for never.

They are options of an entry, which stock beat ignores: `"options": {"overlap": "allow", "grace_s": 60}`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple, get_args

from celery_impl.sidekiq.beat.timetable import Timetable

Overlap = Literal["skip", "allow"]
Misfire = Literal["skip", "coalesce"]

#: The options of an entry that are ours; the rest are `apply_async`'s.
OPTIONS: Final = ("overlap", "misfire", "grace_s")
#: Options of `apply_async` that would move a run off its tick.
REFUSED: Final = ("eta", "countdown")


class PolicyError(ValueError):
    """The options of an entry contradict each other or are invalid; the text names the option."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The policies of one entry; raise PolicyError, which names the option, where one makes no sense."""

    overlap: Overlap = "skip"
    misfire: Misfire = "skip"
    grace_s: float = math.inf

    def __post_init__(self) -> None:
        if self.overlap not in get_args(Overlap):
            raise PolicyError(f"overlap is {self.overlap!r}: expected one of {', '.join(get_args(Overlap))}")
        if self.misfire not in get_args(Misfire):
            raise PolicyError(f"misfire is {self.misfire!r}: expected one of {', '.join(get_args(Misfire))}")
        if not self.grace_s >= 0:
            raise PolicyError(f"grace_s is {self.grace_s!r}: expected seconds, 0 or more")

    @classmethod
    def of(cls, options: Mapping[str, Any], *, grace_s: float = math.inf) -> Policy:
        """Return the policies that an entry's options name; raise PolicyError."""
        if wrong := [name for name in REFUSED if options.get(name) is not None]:
            raise PolicyError(f"{wrong[0]} is set: a run is queued at its tick, so move the schedule instead")
        made = cls(**{"grace_s": grace_s, **{name: options[name] for name in OPTIONS if name in options}})
        if made.overlap == "skip" and "expires" in options and options["expires"] is None:
            raise PolicyError(
                "expires is None with overlap 'skip': a run that was lost would hold up all later ones; set "
                "an expiry, or overlap to 'allow'"
            )
        return made


class Tick(NamedTuple):
    """The last tick that is due, whether it runs, and how many ticks are missed."""

    due: float
    runs: bool
    misfires: int


def due_tick(timetable: Timetable, policy: Policy, *, since: float, now: float) -> Tick | None:
    """Return the tick to serve at `now`, or None; `since` is the last tick that was served or dropped."""
    due, count = timetable.span(since, now)
    if due is None:
        return None
    runs = policy.misfire == "coalesce" or now - due <= policy.grace_s
    return Tick(due, runs, count - 1 if runs else count)


def expires_s(options: Mapping[str, Any], *, until_next_s: float, wall: float) -> float | None:
    """Return the seconds from now until a run that has not begun is dropped; None: never. `wall` is now."""
    if "expires" not in options:
        return until_next_s
    known: Any = options["expires"]
    if isinstance(known, str):
        known = datetime.fromisoformat(known)
    if isinstance(known, datetime):
        return (known if known.tzinfo else known.replace(tzinfo=UTC)).timestamp() - wall
    return None if known is None else float(known)
