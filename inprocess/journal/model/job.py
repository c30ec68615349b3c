"""A job as values: its states, what is written for a new one, and a row as it is read.

| state   | meaning                                                            | leaves it by               |
|---------|--------------------------------------------------------------------|----------------------------|
| waiting | runs when `due`: scheduled, or again after a failure               | a claim                    |
| running | a holder runs it, under the `token` of its claim                   | that token, or its reaper  |
| done    | remains as history for a time                                      | pruning                    |
| dead    | given up: no attempts left, three deaths of its process, or killed | a person, or pruning       |
| parked  | the code here cannot run it: function unknown or changed           | code that can, or a person |
| moving  | is handed over to another system                                   | the token of the hand-over |

Times are whole microseconds since 1970, UTC.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

#: Attempts of a job that says nothing else: with the default back-off over about 13 hours.
MAX_ATTEMPTS: Final = 25
#: Deaths of its process after which a job is dead.
MAX_KILLS: Final = 3
#: Priorities: 9 runs first.
PRIORITIES: Final = range(10)
#: The queue of a job that names none.
QUEUE: Final = "default"
#: Characters of an error that a row keeps.
ERROR_CHARACTERS: Final = 2000
#: Microseconds of a second.
SECOND: Final = 1_000_000


class State(IntEnum):
    """The state of a job, as its row has it."""

    WAITING = 1
    RUNNING = 2
    DONE = 3
    DEAD = 4
    PARKED = 5
    MOVING = 6


class NewJob(NamedTuple):
    """What is written for a new job. `args` are the encoded arguments, `codec` names what encoded them."""

    id: str
    fn: str
    queue: str
    priority: int
    codec: str | None
    args: bytes
    key: str | None
    max_attempts: int
    due: int
    created: int


class Row(NamedTuple):
    """A job as its row has it. `n` is its number, unique within the journal; `state` that of a State."""

    n: int
    id: str
    fn: str
    queue: str
    priority: int
    state: int
    codec: str | None
    args: bytes
    key: str | None
    attempt: int
    max_attempts: int
    kills: int
    due: int
    created: int
    ended: int | None
    holder: int | None
    token: int
    error: str | None


@dataclass(frozen=True, slots=True)
class Enqueued:
    """The answer of `enqueue`. `is_new` is False if another job has the key: `id` is then that job's."""

    id: str
    is_new: bool


@dataclass(frozen=True, slots=True)
class CurrentJob:
    """The job that a task runs for.

    - `id`: the same in every attempt and process. Send it with a call to an outside service, so that the
      service can tell a repeated call.
    - `attempt`: from 1, counted before the run, also over restarts of the process.
    - `token`: grows with every run of the job; a store that keeps the greatest refuses an older run.
    """

    id: str
    task: str
    key: str | None
    attempt: int
    max_attempts: int
    token: int


def now_us(clock: Callable[[], float] | None = None) -> int:
    """Return the wall clock's microseconds since 1970; `clock` returns seconds."""
    return time.time_ns() // 1000 if clock is None else round(clock() * SECOND)


def new_id() -> str:
    """Return a UUID of version 7: ids that are made one after the other sort so, which an index likes."""
    random = bytearray(os.urandom(10))
    random[0] = 0x70 | random[0] & 0x0F
    random[2] = 0x80 | random[2] & 0x3F
    text = f"{time.time_ns() // 1_000_000:012x}{random.hex()}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
