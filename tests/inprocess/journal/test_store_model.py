"""The store of a journal against a model: any sequence of operations leaves the rows that the model has."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, Protocol

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
)

from inprocess.journal.model import operations as op
from inprocess.journal.model.job import MAX_KILLS, NewJob, Row, State
from inprocess.journal.model.store import Store
from inprocess.journal.stores import make_store
from tests.inprocess.journal.conftest import STORES, execute, new_url, the_server

#: What the holders know: `other` is known to nobody.
KNOWN = {"known": "f1"}
LIVE_KEY = (State.WAITING, State.RUNNING, State.PARKED, State.MOVING)


@dataclass(frozen=True, slots=True)
class Modelled:
    """A job, as the model has it."""

    n: int
    id: str
    fn: str
    priority: int
    key: str | None
    max_attempts: int
    due: int
    created: int
    state: State = State.WAITING
    attempt: int = 0
    kills: int = 0
    token: int = 0
    holder: int | None = None
    ended: int | None = None


class Drawn(NamedTuple):
    """What is drawn for a new job."""

    fn: str
    priority: int
    key: str | None
    delay: int
    max_attempts: int


JOBS = st.builds(
    Drawn, st.sampled_from(["known", "known", "other"]), st.sampled_from([0, 5]),
    st.sampled_from([None, None, None, "a", "b"]), st.sampled_from([0, 0, 0, 50_000]),
    st.sampled_from([25, 3, 1]),
)  # fmt: skip


class Database(Protocol):
    """A database with a journal, and what its server and the kernel do."""

    store: Store

    def tell_time(self, now: int, /) -> None:
        """Let the clock of the database show a time, if it has one."""

    def renew(self) -> None:
        """Renew the leases of this process, as its session does by itself, if it has one."""

    def free(self, holder: int, /) -> None:
        """Do what happens when the process of a holder has ended."""

    def forsake(self, holder: int, /) -> None:
        """Let a holder be dead though its process lives, and wait until that is done."""

    def close(self) -> None:
        """Delete it."""


class SQLite:
    """A file, whose locks the kernel frees at once."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="journal-")
        self._forsaken: list[int] = []
        self.store: Any = make_store(f"sqlite:///{self._folder.name}/app.db", app=None, durability="normal")
        self.store.open(lambda: None)

    def tell_time(self, now: int) -> None:
        """It has none."""

    def renew(self) -> None:
        """There are none."""

    def free(self, holder: int) -> None:
        self.store._holder_locks.release(holder)

    def forsake(self, holder: int) -> None:
        self.store.forsake(holder)
        self._forsaken.append(holder)

    def close(self) -> None:
        for holder in self._forsaken:
            self.store._holder_locks.release(holder)
        self.store.close()
        self._folder.cleanup()


class PostgreSQL:
    """A schema, with a clock in it that stands before that of the server."""

    def __init__(self) -> None:
        url = new_url("postgresql", None)
        self._schema = url.partition("?schema=")[2]
        self._server = the_server().url()
        execute(self._server + "?schema=public", f"create schema {self._schema}")
        execute(url, "create table moment (us bigint not null); insert into moment values (0)")
        time = f"select timestamptz ''epoch'' + us * interval ''1 microsecond'' from {self._schema}.moment"  # noqa: S608 - our own
        execute(url, f"create function clock_timestamp() returns timestamptz language sql as '{time}'")
        path = f"options=-csearch_path%3D{self._schema}%2Cpg_catalog"
        self.store: Any = make_store(f"{url}&{path}", app=None, durability="normal")
        self.store.open(lambda: None)

    def tell_time(self, now: int) -> None:
        self.store._rows("update {s}.moment set us = ? returning us", (now,))

    def renew(self) -> None:
        self.store._session.renew()

    def free(self, holder: int) -> None:
        session = self.store._session
        session._ask(lambda connection: session._free(connection, holder))

    def forsake(self, holder: int) -> None:
        self.store._session.forsake(holder).result(30)

    def close(self) -> None:
        self.store._living.clear()
        self.store.close()
        execute(self._server + "?schema=public", f"drop schema {self._schema} cascade")


@pytest.mark.parametrize("store", STORES)
def test_a_store_knows_every_operation(store: str) -> None:
    url = "sqlite:///never-opened.db" if store == "sqlite" else "postgresql://nobody@127.0.0.1:1/none"
    made: Any = make_store(url, app=None, durability="normal")
    known = made._do.keys() if store == "sqlite" else made._one.keys() | made._several.keys() | {op.Enqueue}
    assert known == set(op.Operation.__subclasses__())


class StoreMachine(RuleBasedStateMachine):
    """Holders come, die and leave; jobs are enqueued, claimed, finished and acted on, at times that go on."""

    database_of: ClassVar[Callable[[], Database]]
    holders = Bundle("holders")

    def __init__(self) -> None:
        super().__init__()
        self.database = type(self).database_of()
        self.now = 1_000_000
        self.told = 0
        self.jobs: dict[int, Modelled] = {}
        self.alive: set[int] = set()
        self.ids = 0
        self.ticks: dict[str, int] = {}
        self.results: dict[str, tuple[bytes, int | None]] = {}
        #: A holder that looks for dead ones, and claims nothing.
        self.watcher: Any = self.apply(op.Register(KNOWN, self.now))[0]

    def teardown(self) -> None:
        for holder in (self.watcher, *self.alive):
            self.database.free(holder)
        self.database.close()

    def apply(self, *operations: op.AnyOperation) -> list[object]:
        """Apply operations; half of the machines' steps have their own group anyhow."""
        self.tell_time()
        return self.database.store.apply(operations)

    def tell_time(self) -> None:
        """Let the database's clock show the time of the model."""
        if self.told != self.now:
            self.told = self.now
            self.database.tell_time(self.now)

    def watch(self) -> None:
        """Look twice for dead holders, with a second between."""
        for _ in range(2):
            self.now += 500_000
            self.tell_time()
            self.database.renew()
            self.apply(op.Beats(self.watcher))

    def change(self, n: int, **changes: object) -> None:
        self.jobs[n] = replace(self.jobs[n], **changes)  # type: ignore[arg-type]

    def held(self, holder: int) -> list[Modelled]:
        return [job for job in self.jobs.values() if job.holder == holder and job.state == State.RUNNING]

    @rule(seconds=st.integers(1, 100))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds * 1000

    @rule(target=holders)
    def a_holder_registers(self) -> int:
        (holder,) = self.apply(op.Register(KNOWN, self.now))
        assert isinstance(holder, int)
        self.alive.add(holder)
        return holder

    @initialize(target=holders, jobs=st.lists(JOBS, min_size=4, max_size=8))
    def jobs_are_there_when_a_holder_comes(self, jobs: list[Drawn]) -> int:
        self.jobs_are_enqueued(jobs)
        (holder,) = self.apply(op.Register(KNOWN, self.now))
        assert isinstance(holder, int)
        self.alive.add(holder)
        return holder

    @rule(jobs=st.lists(JOBS, min_size=1, max_size=4))
    def jobs_are_enqueued(self, jobs: list[Drawn]) -> None:
        self._enqueue(jobs, None)

    @rule(holder=holders, keys=st.lists(st.sampled_from([None, "a"]), min_size=1, max_size=2))
    def jobs_are_claimed_as_they_are_enqueued(self, holder: int, keys: list[str | None]) -> None:
        self._enqueue([Drawn("known", 0, key, 0, 3) for key in keys], holder)

    def _enqueue(self, drawn: list[Drawn], holder: int | None) -> None:
        jobs = []
        for each in drawn:
            self.ids += 1
            due = self.now + each.delay
            jobs.append(NewJob(
                str(self.ids), each.fn, "default", each.priority, None, b"[[]]", each.key, each.max_attempts,
                due, self.now,
            ))  # fmt: skip
        for job, inserted in zip(jobs, self.apply(*(op.Enqueue(job, holder) for job in jobs)), strict=True):
            assert isinstance(inserted, op.Inserted)
            self._was_enqueued(job, inserted, holder)

    def _was_enqueued(self, job: NewJob, inserted: op.Inserted, holder: int | None) -> None:
        same = [each for each in self.jobs.values() if job.key == each.key and each.state in LIVE_KEY]
        if job.key and same:
            assert (inserted.n, inserted.is_new, inserted.row) == (same[0].n, False, None)
            return
        assert inserted.is_new
        made = Modelled(
            inserted.n, job.id, job.fn, job.priority, job.key, job.max_attempts, job.due, self.now
        )
        if holder in self.alive:
            made = replace(made, state=State.RUNNING, attempt=1, token=1, holder=holder)
        assert (inserted.row is not None) == (holder in self.alive)
        self.jobs[inserted.n] = made

    @rule(holder=holders, room=st.sampled_from([4, 2, 1]), suspects=st.integers(0, 1))
    def a_holder_claims(self, holder: int, room: int, suspects: int) -> None:
        if holder not in self.alive:
            return
        (claimed,) = self.apply(op.Claim(holder, tuple(KNOWN), None, room, suspects, self.now))
        assert isinstance(claimed, op.Claimed)
        waiting = [job for job in self.jobs.values() if job.state == State.WAITING]
        due = [job for job in waiting if job.due <= self.now and job.fn in KNOWN]
        expected: list[int] = []
        for priority in (5, 0):
            mine = sorted((job for job in due if job.priority == priority), key=lambda job: (job.due, job.n))
            suspected = [job.n for job in mine if job.kills >= MAX_KILLS - 1][
                : min(suspects, room - len(expected))
            ]
            suspects -= len(suspected)
            expected += suspected
            rest = [job.n for job in mine if job.kills < MAX_KILLS - 1]
            expected += rest[: room - len(expected)]
        assert [row.n for row in claimed.rows] == expected
        assert claimed.more == (len(expected) == room)
        if not claimed.more:
            later = [job.due for job in waiting if job.due > self.now]
            assert claimed.next_due == min(later, default=None)
        for n in expected:
            job = self.jobs[n]
            self.change(n, state=State.RUNNING, attempt=job.attempt + 1, token=job.token + 1, holder=holder)

    @rule(holder=holders, keep=st.booleans(), stale=st.booleans())
    def a_holder_finishes_what_it_runs(self, holder: int, keep: bool, stale: bool) -> None:  # noqa: FBT001 - drawn
        held = self.held(holder)
        tokens = [
            (job.n, job.token - 1 if stale and place == 0 else job.token) for place, job in enumerate(held)
        ]
        (fenced,) = self.apply(op.Finish(tokens, self.now, keep))
        assert fenced == [job.n for job in held[:1] if stale]
        for job in held[1:] if stale else held:
            if keep:
                self.change(job.n, state=State.DONE, holder=None, ended=self.now)
            else:
                del self.jobs[job.n]

    @rule(holder=holders, delay=st.sampled_from([None, 0, 20_000]))
    def a_job_fails(self, holder: int, delay: int | None) -> None:
        for job in self.held(holder)[:1]:
            due = None if delay is None else self.now + delay
            (fenced,) = self.apply(op.Fail(job.n, job.token, due, "error", self.now))
            assert not fenced
            if due is None or job.attempt >= job.max_attempts:
                self.change(
                    job.n, state=State.DEAD, holder=None, ended=self.now, due=job.due if due is None else due
                )
            else:
                self.change(job.n, state=State.WAITING, holder=None, due=due)

    @rule(holder=holders)
    def a_holder_gives_back(self, holder: int) -> None:
        held = self.held(holder)
        (fenced,) = self.apply(op.GiveBack([(job.n, job.token) for job in held], self.now))
        assert fenced == []
        self._wait_again(held)

    @rule(holder=holders)
    def a_commit_in_doubt_is_recovered(self, holder: int) -> None:
        held = self.held(holder)
        (count,) = self.apply(op.Recover(holder, [job.n for job in held[:1]], self.now))
        assert count == len(held[1:])
        self._wait_again(held[1:])

    def _wait_again(self, jobs: list[Modelled]) -> None:
        for job in jobs:
            due = min(job.due, self.now)
            self.change(job.n, state=State.WAITING, holder=None, due=due, attempt=job.attempt - 1)

    @rule(holder=holders)
    def a_job_is_parked(self, holder: int) -> None:
        for job in self.held(holder)[:1]:
            (fenced,) = self.apply(op.Park(job.n, job.token, "changed", "f1"))
            assert not fenced
            self.change(job.n, state=State.PARKED, holder=None, attempt=job.attempt - 1)

    @rule(fingerprint=st.sampled_from(["f1", "f2"]))
    def code_comes_that_may_know_what_is_parked(self, fingerprint: str) -> None:
        (count,) = self.apply(op.Unpark({"known": fingerprint}))
        parked = [job for job in self.jobs.values() if job.state == State.PARKED and job.fn == "known"]
        assert count == (len(parked) if fingerprint == "f2" else 0)
        for job in parked if fingerprint == "f2" else []:
            self.change(job.n, state=State.WAITING)

    @precondition(lambda self: self.alive)
    @rule()
    def what_nobody_knows_is_parked(self) -> None:
        before = self.now - 30_000
        (count,) = self.apply(op.ParkUnknown(before))
        unknown = [
            job for job in self.jobs.values()
            if job.state == State.WAITING and job.fn not in KNOWN and job.due <= before
        ]  # fmt: skip
        assert count == len(unknown)
        for job in unknown:
            self.change(job.n, state=State.PARKED)

    @rule(holder=consumes(holders), how=st.sampled_from(["killed", "forsaken", "drained"]))
    def a_holder_ends_and_is_reaped(self, holder: int, how: str) -> None:
        if holder not in self.alive:
            return
        self.alive.discard(holder)
        if how == "drained":
            self.apply(op.Leave(holder, runs=True))
        if how == "forsaken":
            self.database.forsake(holder)
        else:
            self.database.free(holder)
        self.watch()
        (reaped,) = self.apply(op.Reap(holder, self.now))
        assert isinstance(reaped, op.Reaped)
        blame = how == "killed"
        held = self.held(holder)
        for job in held:
            is_dead = blame and (job.kills >= MAX_KILLS - 1 or job.attempt >= job.max_attempts)
            self.change(
                job.n, state=State.DEAD if is_dead else State.WAITING, ended=self.now if is_dead else None,
                kills=job.kills + blame, attempt=job.attempt if blame else job.attempt - 1,
                due=min(job.due, self.now), holder=None,
            )  # fmt: skip
        died = [self.jobs[job.n] for job in held if self.jobs[job.n].state == State.DEAD]
        assert sorted(row.n for row in reaped.dead) == sorted(job.n for job in died)
        assert reaped.waiting == len(held) - len(died)
        self._return(holder)

    @rule(holder=holders, limit=st.integers(1, 3))
    def a_holder_takes_jobs_to_move_them(self, holder: int, limit: int) -> None:
        if holder not in self.alive:
            return
        (rows,) = self.apply(op.Take(holder, ("known",), limit))
        waiting = [job for job in self.jobs.values() if job.state == State.WAITING and job.fn == "known"]
        expected = sorted(job.n for job in waiting)[:limit]
        assert [row.n for row in rows] == expected  # type: ignore[attr-defined]
        for n in expected:
            self.change(n, state=State.MOVING, holder=holder, token=self.jobs[n].token + 1)

    @rule(holder=holders, stale=st.booleans())
    def the_other_system_has_a_job(self, holder: int, stale: bool) -> None:  # noqa: FBT001 - drawn
        for job in self._moving(holder)[:1]:
            assert self.apply(op.Moved([(job.n, job.token - stale)])) == [[job.n] if stale else []]
            if not stale:
                del self.jobs[job.n]

    @rule(holder=holders)
    def the_other_system_does_not_take_a_job(self, holder: int) -> None:
        for job in self._moving(holder)[:1]:
            assert self.apply(op.PutBack([(job.n, job.token)])) == [[]]
            self.change(job.n, state=State.WAITING, holder=None)

    def _moving(self, holder: int) -> list[Modelled]:
        return [job for job in self.jobs.values() if job.holder == holder and job.state == State.MOVING]

    def _return(self, holder: int) -> None:
        """What a dead holder was moving waits again, and nobody is to blame."""
        for job in self._moving(holder):
            self.change(job.n, state=State.WAITING, holder=None)

    @rule(holder=holders)
    def a_living_holder_is_not_reaped(self, holder: int) -> None:
        if holder in self.alive:
            assert self.apply(op.Reap(holder, self.now)) == [op.Reaped(0, [])]

    @rule(
        action=st.sampled_from(["retry", "kill", "delete"]),
        name=st.sampled_from(["dead", "parked", "scheduled", "retries", "waiting"]),
    )
    def a_person_acts(self, action: op.Action, name: op.SetName) -> None:
        if (action, name) == ("kill", "dead"):
            return
        there = [job for job in self.jobs.values() if self.is_in(job, name)]
        (changed,) = self.apply(op.Act(action, name, [*self.jobs], self.now))
        expected = []
        for job in there:
            if action == "delete":
                del self.jobs[job.n]
            elif action == "kill":
                self.change(job.n, state=State.DEAD, ended=self.now)
            else:
                is_waiting = job.state == State.WAITING
                others = (each for each in self.jobs.values() if each.n != job.n and each.key == job.key)
                if name == "dead" and job.key and any(each.state in LIVE_KEY for each in others):
                    continue
                fresh = {} if is_waiting else {"attempt": 0, "kills": 0}
                self.change(job.n, state=State.WAITING, due=self.now, ended=None, **fresh)
            expected.append(job.n)
        assert sorted(changed) == sorted(expected)  # type: ignore[call-overload]

    @rule(limit=st.integers(1, 5))
    def what_is_old_is_pruned(self, limit: int) -> None:
        before = self.now - 40_000
        (count,) = self.apply(op.Prune(before, before, limit))
        old = [job for job in self.jobs.values() if job.ended is not None and job.ended < before]
        assert count == min(limit, len(old))
        left = {row.n for name in ("done", "dead") for row in self.rows(name)}
        for job in old:
            if job.n not in left:
                del self.jobs[job.n]

    @rule(back=st.integers(1, 100))
    def the_clock_is_set_back(self, back: int) -> None:
        self.now = max(1, self.now - back * 1000)
        (count,) = self.apply(op.PutRight(self.now))
        late = [
            job for job in self.jobs.values()
            if job.state == State.WAITING and job.due > self.now and job.due == job.created
        ]  # fmt: skip
        assert count == len(late)
        for job in late:
            self.change(job.n, due=self.now)

    @rule(name=st.sampled_from(["a", "b"]))
    def a_tick_is_written(self, name: str) -> None:
        self.apply(op.WriteTick(name, self.now))
        self.ticks[name] = self.now
        assert [self.apply(op.ReadTick(each)) for each in "ab"] == [[self.ticks.get(each)] for each in "ab"]

    @rule(
        key=st.sampled_from(["a", "a:1", "a:\U0010fffe", "b"]),
        body=st.binary(max_size=3),
        lives=st.sampled_from([None, 1, 50_000]),
        only_new=st.booleans(),
    )
    def a_result_is_written(self, key: str, body: bytes, lives: int | None, only_new: bool) -> None:  # noqa: FBT001 - drawn
        expires = None if lives is None else self.now + lives
        is_there = self._live(key) is not None
        written = self.apply(op.WriteResult(key, op.Result(None, body), expires, self.now, only_new))
        assert written == [not (only_new and is_there)]
        if written == [True]:
            self.results[key] = body, expires

    @rule(key=st.sampled_from(["a", "b"]))
    def results_are_read(self, key: str) -> None:
        body = self._live(key)
        assert self.apply(op.ReadResult(key, self.now)) == [None if body is None else op.Result(None, body)]
        under = [(each, op.Result(None, found)) for each in sorted(self.results)
                 if each.startswith(key) and (found := self._live(each)) is not None]  # fmt: skip
        assert self.apply(op.CountResults(key, self.now), op.ResultsUnder(key, self.now)) == [
            len(under),
            under,
        ]

    @rule(keys=st.lists(st.sampled_from(["a", "a:1", "b"]), unique=True))
    def results_are_deleted(self, keys: list[str]) -> None:
        there = [key for key in keys if self.results.pop(key, None) is not None]
        assert self.apply(op.DeleteResults(keys)) == [len(there)]

    @rule()
    def results_that_have_expired_are_pruned(self) -> None:
        old = [key for key, (_, at) in self.results.items() if at is not None and at <= self.now]
        assert self.apply(op.PruneResults(self.now, 100)) == [len(old)]
        for key in old:
            del self.results[key]

    def _live(self, key: str) -> bytes | None:
        body, expires = self.results.get(key, (None, None))
        return body if expires is None or expires > self.now else None

    def is_in(self, job: Modelled, name: op.SetName) -> bool:
        of = op.SETS[name]
        return (
            job.state == of.state
            and of.is_due in {None, job.due <= self.now}
            and of.has_run in {None, job.attempt > 0}
        )

    def rows(self, name: op.SetName) -> list[Row]:
        (rows,) = self.apply(op.Page(name, self.now, None, 1000))
        return rows  # type: ignore[return-value]

    @invariant()
    def the_rows_are_those_of_the_model(self) -> None:
        names: list[Any] = [*op.SETS]
        looks = [op.Page(name, self.now, None, 1000) for name in names]
        counts = [op.Count(name, self.now) for name in names]
        found_in: list[Any] = self.apply(*looks, *counts)
        rows = [row for page in found_in[: len(names)] for row in page]
        found = {
            row.n: Modelled(
                row.n, row.id, row.fn, row.priority, row.key, row.max_attempts, row.due, row.created,
                State(row.state), row.attempt, row.kills, row.token, row.holder, row.ended,
            )
            for row in rows
        }  # fmt: skip
        assert found == self.jobs
        assert len(found) == len(rows)
        for name, count in zip(names, found_in[len(names) :], strict=True):
            assert count == sum(self.is_in(job, name) for job in self.jobs.values())


class SQLiteStoreMachine(StoreMachine):
    database_of = SQLite


class PostgreSQLStoreMachine(StoreMachine):
    database_of = PostgreSQL


SQLiteStoreMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
PostgreSQLStoreMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)

TestSQLiteStore = SQLiteStoreMachine.TestCase
TestPostgreSQLStore = pytest.mark.skipif("postgresql" not in STORES, reason="psycopg is not installed")(
    PostgreSQLStoreMachine.TestCase
)
