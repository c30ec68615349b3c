"""What is asked of a store, as values: one class an operation, with what it returns.

An operation is applied in one transaction, alone or together with others (see `store.Store.apply`). Rows
leave the states running and moving only with the token of their claim: a row that no longer has it was
reaped meanwhile, and is returned as fenced.

`writes` is False for what only reads. `waits` is True for what must not fail because the database is busy
or full for a time: it is tried again until it succeeds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, NamedTuple, TypeVar

from inprocess.journal.model.job import NewJob, Row, State

R_co = TypeVar("R_co", covariant=True)


class Operation(Generic[R_co]):
    """Base of the operations; `R_co` is what applying it returns."""

    __slots__ = ()
    writes: ClassVar[bool] = True
    waits: ClassVar[bool] = True


# Jobs come, are claimed and end.


class Inserted(NamedTuple):
    """`n` and `id` are of the new row, or of the one that has the key or the id. `row` if it was claimed."""

    n: int
    id: str
    is_new: bool
    row: Row | None = None


@dataclass(slots=True)
class Enqueue(Operation[Inserted]):
    """Write a new job, unless its key or its id is there. Claim it at once for `holder`, if that is there."""

    job: NewJob
    holder: int | None = None
    waits: ClassVar[bool] = False


class Claimed(NamedTuple):
    """Rows, in the order in which to run them; `more`: whether further rows may be due now.

    `next_due`, µs: when the next job is due that waits; None if none does, or `more`.
    """

    rows: list[Row]
    more: bool
    next_due: int | None


@dataclass(slots=True)
class Claim(Operation[Claimed]):
    """Take up to `room` due jobs of known functions for a holder; count the attempt, raise the token.

    By priority, then due, then number; queues of one priority take turns. At most `suspects` of them may be
    jobs whose process has died MAX_KILLS - 1 times. `queues` None means all. Raise HolderLostError if the
    holder's own row is gone.
    """

    holder: int
    functions: tuple[str, ...]
    queues: tuple[str, ...] | None
    room: int
    suspects: int
    now: int


@dataclass(slots=True)
class Finish(Operation[list[int]]):
    """Running to done, or away if no history is kept. `jobs`: (n, token). Return the n of fenced rows."""

    jobs: list[tuple[int, int]]
    now: int
    keep: bool


@dataclass(slots=True)
class Fail(Operation[bool]):
    """Running to waiting at `due`; to dead without one, or without an attempt left. Return whether fenced."""

    n: int
    token: int
    due: int | None
    error: str
    now: int


@dataclass(slots=True)
class GiveBack(Operation[list[int]]):
    """Running to waiting, due now, without the attempt. `jobs`: (n, token). Return the n of fenced rows."""

    jobs: list[tuple[int, int]]
    now: int


@dataclass(slots=True)
class Park(Operation[bool]):
    """Running to parked, without the attempt; `by` is the fingerprint of the code that cannot run it."""

    n: int
    token: int
    reason: str
    by: str


# Jobs are handed over to another system.


@dataclass(slots=True)
class Take(Operation[list[Row]]):
    """Waiting to moving: up to `limit` jobs of these functions, due or not, by number; raise the token."""

    holder: int
    functions: tuple[str, ...]
    limit: int


@dataclass(slots=True)
class Moved(Operation[list[int]]):
    """Delete moving jobs, which the other system has now. `jobs`: (n, token). Return the n of fenced rows."""

    jobs: list[tuple[int, int]]


@dataclass(slots=True)
class PutBack(Operation[list[int]]):
    """Moving to waiting: the other system has not taken them. `jobs`: (n, token). Return fenced rows' n."""

    jobs: list[tuple[int, int]]


# Holders: the processes that run jobs.


@dataclass(slots=True)
class Register(Operation[int]):
    """Write a new holder, alive from before the commit on; return its number."""

    functions: dict[str, str]
    now: int


@dataclass(slots=True)
class SetFunctions(Operation[None]):
    """Note which functions a holder knows, each with its fingerprint."""

    holder: int
    functions: dict[str, str]


class Beat(NamedTuple):
    """What a holder learns when it beats: `dead` holders, and whether its code may still write."""

    dead: list[int]
    may_write: bool


@dataclass(slots=True)
class Beats(Operation[Beat]):
    """Keep a holder alive and look for dead ones. Raise HolderLostError if its own row is gone."""

    holder: int
    writes: ClassVar[bool] = False


class Reaped(NamedTuple):
    """What became of a dead holder's rows: numbers of jobs that wait again, and rows that are dead now."""

    waiting: int
    dead: list[Row]


@dataclass(slots=True)
class Reap(Operation[Reaped]):
    """Take the rows of a holder and delete it, unless it lives.

    Its death counts against what it ran, but not after a drain; never against what it was moving.
    """

    holder: int
    now: int


@dataclass(slots=True)
class Recover(Operation[int]):
    """Give back what the store holds for a holder and the holder does not run: after a commit in doubt."""

    holder: int
    running: list[int]
    now: int


@dataclass(slots=True)
class Leave(Operation[None]):
    """A holder ends: delete it, or mark it as drained if it still `runs` something that cannot be stopped."""

    holder: int
    runs: bool


# Upkeep.


@dataclass(slots=True)
class ParkUnknown(Operation[int]):
    """Park what has been due since `before` and no living holder knows; return how many."""

    before: int


@dataclass(slots=True)
class Unpark(Operation[int]):
    """Parked to waiting for functions that are known by another fingerprint than the one that parked."""

    functions: dict[str, str]


@dataclass(slots=True)
class PutRight(Operation[int]):
    """Make due now what was enqueued to run at once and is due later: the clock was set back."""

    now: int


@dataclass(slots=True)
class Prune(Operation[int]):
    """Delete up to `limit` jobs that were done before `done` or died before `dead`; return how many."""

    done: int
    dead: int
    limit: int


# Periodic work.


@dataclass(slots=True)
class ReadTick(Operation[int | None]):
    """Return the last tick of this name, µs; None if there was none."""

    name: str
    writes: ClassVar[bool] = False
    waits: ClassVar[bool] = False


@dataclass(slots=True)
class WriteTick(Operation[None]):
    """Note the last tick of this name, µs."""

    name: str
    last: int
    waits: ClassVar[bool] = False


# Results: values under keys, beside the jobs.


class Result(NamedTuple):
    """A value and the codec that encoded it."""

    codec: str | None
    body: bytes


@dataclass(slots=True)
class ReadResult(Operation[Result | None]):
    """Return the value under a key; None if there is none or it has expired."""

    key: str
    now: int
    writes: ClassVar[bool] = False
    waits: ClassVar[bool] = False


@dataclass(slots=True)
class WriteResult(Operation[bool]):
    """Write a value, which expires at `expires`, with `only_new` unless one is there; return whether."""

    key: str
    result: Result
    expires: int | None
    now: int
    only_new: bool = False


@dataclass(slots=True)
class CountResults(Operation[int]):
    """Return how many keys begin with this prefix."""

    prefix: str
    now: int
    writes: ClassVar[bool] = False
    waits: ClassVar[bool] = False


@dataclass(slots=True)
class ResultsUnder(Operation[list[tuple[str, Result]]]):
    """Return the keys that begin with this prefix, in order, and their values."""

    prefix: str
    now: int
    writes: ClassVar[bool] = False
    waits: ClassVar[bool] = False


@dataclass(slots=True)
class DeleteResults(Operation[int]):
    """Delete these keys; return how many there were."""

    keys: list[str]


@dataclass(slots=True)
class PruneResults(Operation[int]):
    """Delete up to `limit` values that have expired; return how many."""

    now: int
    limit: int


# Looking and acting, for people.

SetName = Literal["waiting", "scheduled", "retries", "running", "moving", "dead", "parked", "done"]


class Filter(NamedTuple):
    """Which jobs of a set are meant: of a task, of a queue."""

    task: str | None = None
    queue: str | None = None


#: Every job of a set.
ALL = Filter()


class SetStates(NamedTuple):
    """What a set is, in terms of rows: the state, whether due ahead, whether it has failed before."""

    state: State
    is_due: bool | None = None
    has_run: bool | None = None


#: The sets, by what their rows have in common.
SETS: dict[str, SetStates] = {
    "waiting": SetStates(State.WAITING, is_due=True),
    "scheduled": SetStates(State.WAITING, is_due=False, has_run=False),
    "retries": SetStates(State.WAITING, is_due=False, has_run=True),
    "running": SetStates(State.RUNNING),
    "moving": SetStates(State.MOVING),
    "dead": SetStates(State.DEAD),
    "parked": SetStates(State.PARKED),
    "done": SetStates(State.DONE),
}


@dataclass(slots=True)
class Count(Operation[int]):
    """Return how many jobs a set has."""

    name: SetName
    now: int
    only: Filter = ALL
    writes: ClassVar[bool] = False
    waits: ClassVar[bool] = False


@dataclass(slots=True)
class Page(Operation[list[Row]]):
    """Return up to `limit` jobs of a set with a number below `below`, greatest number first."""

    name: SetName
    now: int
    below: int | None
    limit: int
    only: Filter = ALL
    writes: ClassVar[bool] = False
    waits: ClassVar[bool] = False


@dataclass(slots=True)
class Find(Operation[Row | None]):
    """Return the job with this id."""

    id: str
    writes: ClassVar[bool] = False
    waits: ClassVar[bool] = False


@dataclass(slots=True)
class Oldest(Operation[int | None]):
    """Return when the oldest job of a set was due (or ended), µs; None for an empty set."""

    name: SetName
    now: int
    writes: ClassVar[bool] = False
    waits: ClassVar[bool] = False


Action = Literal["retry", "kill", "delete"]


@dataclass(slots=True)
class Act(Operation[list[int]]):
    """Retry, kill or delete these jobs (by n) as far as they are in the set; return the n of those that were.

    A job whose key another job has meanwhile stays where it is.
    """

    action: Action
    name: SetName
    jobs: list[int]
    now: int
    waits: ClassVar[bool] = False


AnyOperation = Operation[Any]
