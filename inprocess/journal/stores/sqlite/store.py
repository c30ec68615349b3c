"""SQLiteStore: a journal's rows in an SQLite file, in WAL mode.

1. A group of operations is one short immediate transaction: one sync of the disk for all of them.
2. The file may be the app's own, so that `within=` can write in the app's transaction.
3. Other processes' commits are seen by `data_version`, which takes 2 µs: every LOOK_S, and every SOON_S for
   a moment after a `within=`.
4. Whether a holder lives, the kernel tells (`holder_locks`). The wall clock serves only what is due.
5. `durability` "full" syncs at each commit, so that power may fail at any time; "normal" syncs at
   checkpoints, and a power failure takes the last commits. A kill of the process takes nothing in either.
"""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from inprocess.journal.model import operations as op
from inprocess.journal.model.errors import HolderLostError, JournalRefusedError, TransactionError
from inprocess.journal.model.job import NewJob, Row, State
from inprocess.journal.model.store import Transaction
from inprocess.journal.stores.sqlite import statements as sql
from inprocess.journal.stores.sqlite.database_file import (
    check_place,
    path_of,
    translated,
    warn_of_version,
)
from inprocess.journal.stores.sqlite.holder_locks import HolderLocks, holder_locks
from inprocess.journal.stores.sqlite.schema import has_tables, is_current, may_write, migrate

#: Seconds between two looks at what other processes have committed.
LOOK_S: Final = 0.02
#: The same after a `within=`, whose commit nothing reports.
SOON_S: Final = 0.001
#: Seconds for which to look so often.
SOON_FOR_S: Final = 1.0
#: Seconds that opening waits for other processes that write.
OPEN_WAIT_S: Final = 30.0
#: Values of `durability`, and SQLite's `synchronous` for each.
DURABILITY: Final = {"full": "full", "normal": "normal"}


class SQLiteStore:
    """See the module, and `model.store.Store`."""

    def __init__(self, url: str, *, app: str | None, durability: str) -> None:
        if durability not in DURABILITY:
            expected = " or ".join(map(repr, DURABILITY))
            raise JournalRefusedError(f"durability is {durability!r}: expected {expected}")
        self.path: Path = path_of(url)
        self._real_path = os.path.realpath(self.path)
        self._app = app
        self._durability = durability
        self._opened: sqlite3.Connection | None = None
        self._locks: HolderLocks | None = None
        self._registering: list[int] = []
        self._version = 0
        self._soon_until = 0.0
        self._turn = 0
        self._claims: dict[tuple[str, ...], tuple[str, str]] = {}
        self._do: dict[type[op.AnyOperation], Callable[[Any], Any]] = {
            op.Enqueue: self._enqueue, op.Claim: self._claim, op.Finish: self._finish, op.Fail: self._fail,
            op.GiveBack: self._give_back, op.Park: self._park, op.Register: self._register,
            op.SetFunctions: self._set_functions, op.Beats: self._beats, op.Reap: self._reap,
            op.Recover: self._recover, op.Leave: self._leave, op.ParkUnknown: self._park_unknown,
            op.Unpark: self._unpark, op.PutRight: self._put_right, op.Prune: self._prune,
            op.ReadTick: self._read_tick, op.WriteTick: self._write_tick, op.Count: self._count,
            op.Page: self._page, op.Find: self._find, op.Oldest: self._oldest, op.Act: self._act,
            op.Take: self._take, op.Moved: self._moved, op.PutBack: self._put_back,
            op.ReadResult: self._read_result, op.WriteResult: self._write_result,
            op.CountResults: self._count_results, op.ResultsUnder: self._results_under,
            op.DeleteResults: self._delete_results, op.PruneResults: self._prune_results,
        }  # fmt: skip

    @property
    def url(self) -> str:
        """See `Store.url`."""
        return f"sqlite:///{self.path}"

    @property
    def look_s(self) -> float:
        """See `Store.look_s`."""
        return SOON_S if time.monotonic() < self._soon_until else LOOK_S

    def is_there(self) -> bool:
        """See `Store.is_there`."""
        if not self.path.is_file():
            return False
        with translated(self.path):
            connection = sqlite3.connect(self.path, timeout=OPEN_WAIT_S)
            try:
                return has_tables(connection)
            finally:
                connection.close()

    def open(self, wake: Callable[[], object]) -> None:  # noqa: ARG002 - it is looked at instead, see `look_s`
        """See `Store.open`."""
        if self._opened is not None:
            return
        check_place(self.path)
        with translated(self.path):
            connection = sqlite3.connect(
                self.path, timeout=OPEN_WAIT_S, isolation_level=None, check_same_thread=False
            )
            try:
                self._set_up(connection)
            except BaseException:
                connection.close()
                raise
        self._opened = connection
        self._locks = holder_locks(self.path)

    def close(self) -> None:
        """See `Store.close`."""
        connection, self._opened = self._opened, None
        if connection is not None:
            connection.close()

    def forsake(self, holder: int) -> None:
        """See `Store.forsake`."""
        if self._locks is not None:
            self._locks.forsake(holder)

    def apply(self, operations: Sequence[op.AnyOperation]) -> list[Any]:
        """See `Store.apply`."""
        do, connection = self._do, self._connection
        with translated(self.path):
            if not any(operation.writes for operation in operations):
                return [do[type(operation)](operation) for operation in operations]
            self._registering.clear()
            try:
                with _immediate(connection):
                    return [do[type(operation)](operation) for operation in operations]
            except BaseException:
                for holder in self._registering:  # whose number is free again
                    self._holder_locks.release(holder)
                raise

    def changed(self) -> bool:
        """See `Store.changed`."""
        with translated(self.path):
            (version,) = self._connection.execute("pragma data_version").fetchone()
        before, self._version = self._version, version
        return bool(version != before)

    def expect_soon(self) -> None:
        """See `Store.expect_soon`."""
        self._soon_until = time.monotonic() + SOON_FOR_S

    def insert_within(self, transaction: Transaction, job: NewJob) -> op.Inserted:
        """See `Store.insert_within`."""
        if transaction.dialect != "sqlite":
            raise TransactionError(
                f"within= is a transaction of {transaction.dialect}, and the journal is {self.url}: both "
                "must be the same database"
            )
        files = {name: file for _, name, file in transaction.run("pragma database_list", ())}
        file = files.get("main")
        if not file or (file != self._real_path and not self.path.samefile(file)):
            raise TransactionError(
                f"within= is a transaction in {file or 'a database in memory'}, and the journal is "
                f"{self.path}: both must be the same file; without within= the job has its own transaction"
            )
        try:
            # The first statement that touches the file: a transaction that has read may not write any more.
            found = transaction.run(sql.INSERT, (*job, State.WAITING.value, None, 0, 0))
        except Exception as error:
            if "no such table: journal_job" not in str(error):
                raise
            raise TransactionError(
                f"the journal {self.path} has no tables yet: start it, or call its open(), before that"
            ) from error
        if found:
            return op.Inserted(found[0][0], job.id, is_new=True)
        n, job_id = transaction.run(sql.THERE, (job.id, job.key))[0]
        return op.Inserted(n, job_id, is_new=False)

    @property
    def _connection(self) -> sqlite3.Connection:
        if self._opened is None:
            raise JournalRefusedError(f"the journal {self.path} is not open")
        return self._opened

    @property
    def _holder_locks(self) -> HolderLocks:
        assert self._locks is not None  # noqa: S101 - it is open
        return self._locks

    def _set_up(self, connection: sqlite3.Connection) -> None:
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma cache_size = -16000")
        connection.execute(f"pragma synchronous = {DURABILITY[self._durability]}")
        if not is_current(connection, self._app):
            with _immediate(connection):
                migrate(connection, self._app, str(self.path))
        # From here on the writer waits, more finely than SQLite's own handler, which sleeps up to 100 ms.
        connection.execute("pragma busy_timeout = 0")

    # Jobs.

    def _enqueue(self, operation: op.Enqueue) -> op.Inserted:
        job, holder = operation.job, operation.holder
        if holder is not None and not self._is_holder(holder):
            holder = None
        claimed = holder is not None
        state = State.RUNNING if claimed else State.WAITING
        parameters = (*job, state.value, holder, int(claimed), int(claimed))
        for (n,) in self._connection.execute(sql.INSERT, parameters).fetchall():
            row = _row_of(n, job, holder) if holder is not None else None
            return op.Inserted(n, job.id, is_new=True, row=row)
        n, job_id = self._connection.execute(sql.THERE, (job.id, job.key)).fetchone()
        return op.Inserted(n, job_id, is_new=False)

    def _claim(self, operation: op.Claim) -> op.Claimed:
        if operation.functions not in self._claims:
            count = len(operation.functions)
            both = sql.claim(count, suspects=False), sql.claim(count, suspects=True)
            self._claims = {operation.functions: both}
        if not self._is_holder(operation.holder):
            raise HolderLostError(
                f"the journal {self.path}: holder {operation.holder} is gone from its table"
            )
        claim, claim_suspect = self._claims[operation.functions]
        execute = self._connection.execute
        rows: list[Row] = []
        suspects = operation.suspects
        pairs = self._pairs(operation.queues)
        for number, (queue, priority) in enumerate(pairs):
            left = operation.room - len(rows)
            if left <= 0:
                break
            alike = sum(other == priority for _, other in pairs[number:])
            place = (operation.holder, queue, priority, operation.now, *operation.functions)
            if suspects:
                found = execute(claim_suspect, (*place, min(suspects, left))).fetchall()
                suspects -= len(found)
                rows += map(Row._make, found)
                left -= len(found)
            found = execute(claim, (*place, -(-left // alike))).fetchall()
            found.sort(key=_by_due)
            rows += map(Row._make, found)
        self._turn += 1
        more = len(rows) >= operation.room > 0
        return op.Claimed(rows, more, None if more else self._next_due(pairs, operation.now))

    def _pairs(self, queues: tuple[str, ...] | None) -> list[tuple[str, int]]:
        """The queues and priorities with waiting jobs, the most urgent first, equal ones taking turns."""
        pairs: list[tuple[str, int]] = []
        last = ("", -1)
        while found := self._connection.execute(sql.NEXT_PAIR, last).fetchone():
            last = found
            if queues is None or found[0] in queues:
                pairs.append(found)
        if len(pairs) > 1:
            first = self._turn % len(pairs)
            pairs = sorted(pairs[first:] + pairs[:first], key=lambda pair: -pair[1])
        return pairs

    def _next_due(self, pairs: Sequence[tuple[str, int]], now: int) -> int | None:
        found = [self._connection.execute(sql.NEXT_DUE, (*pair, now)).fetchone() for pair in pairs]
        return min((due for each in found if each for due in each), default=None)

    def _finish(self, operation: op.Finish) -> list[int]:
        execute, jobs = self._connection.execute, operation.jobs
        if operation.keep:
            ended = self._connection.executemany(sql.KEPT, [(operation.now, *job) for job in jobs])
        else:
            ended = self._connection.executemany(sql.DELETED, jobs)
        if ended.rowcount == len(jobs):
            return []
        return [job[0] for job in jobs if execute(sql.FENCED, job).fetchone()]

    def _fail(self, operation: op.Fail) -> bool:
        return not self._connection.execute(sql.FAILED, {
            "due": operation.due, "now": operation.now, "error": operation.error, "n": operation.n,
            "token": operation.token,
        }).rowcount  # fmt: skip

    def _give_back(self, operation: op.GiveBack) -> list[int]:
        execute, now = self._connection.execute, operation.now
        return [job[0] for job in operation.jobs if not execute(sql.GIVEN_BACK, (now, *job)).rowcount]

    def _park(self, operation: op.Park) -> bool:
        parameters = (operation.reason, operation.by, operation.n, operation.token)
        return not self._connection.execute(sql.PARKED, parameters).rowcount

    # Hand-over.

    def _take(self, operation: op.Take) -> list[Row]:
        parameters = (operation.holder, json.dumps(operation.functions), operation.limit)
        rows = [Row._make(row) for row in self._connection.execute(sql.TAKEN, parameters)]
        return sorted(rows)  # by their number

    def _moved(self, operation: op.Moved) -> list[int]:
        execute = self._connection.execute
        return [job[0] for job in operation.jobs if not execute(sql.MOVED, job).rowcount]

    def _put_back(self, operation: op.PutBack) -> list[int]:
        execute = self._connection.execute
        return [job[0] for job in operation.jobs if not execute(sql.PUT_BACK, job).rowcount]

    # Holders.

    def _is_holder(self, holder: int) -> bool:
        found = self._connection.execute("select 1 from journal_holder where n = ?", (holder,))
        return found.fetchone() is not None

    def _register(self, operation: op.Register) -> int:
        (n,) = self._connection.execute(
            sql.REGISTERED,
            (os.getpid(), socket.gethostname(), _boot(), json.dumps(operation.functions), operation.now),
        ).fetchone()
        warn_of_version()  # here, where a process begins to run jobs, and not for each look at the file
        self._holder_locks.take(n)  # before the commit: nobody sees the row without the lock
        self._registering.append(n)
        return int(n)

    def _set_functions(self, operation: op.SetFunctions) -> None:
        functions = json.dumps(operation.functions)
        self._connection.execute(
            "update journal_holder set functions = ? where n = ?", (functions, operation.holder)
        )

    def _beats(self, operation: op.Beats) -> op.Beat:
        numbers = [n for (n,) in self._connection.execute("select n from journal_holder")]
        if operation.holder not in numbers:
            raise HolderLostError(
                f"the journal {self.path}: holder {operation.holder} is gone from its table"
            )
        return op.Beat([n for n in numbers if not self._holder_locks.lives(n)], may_write(self._connection))

    def _reap(self, operation: op.Reap) -> op.Reaped:
        execute, holder = self._connection.execute, operation.holder
        found = execute("select drained, boot from journal_holder where n = ?", (holder,)).fetchone()
        if found is None or self._holder_locks.lives(holder):
            return op.Reaped(0, [])
        drained, boot = found
        blame = int(not drained and boot == _boot() and not self._holder_locks.process_lives(holder))
        named = {"blame": blame, "now": operation.now, "holder": holder}
        rows = [Row._make(row) for row in execute(sql.REAPED, named).fetchall()]
        execute(sql.RETURNED, (holder,))
        execute("delete from journal_holder where n = ?", (holder,))
        dead = [row for row in rows if row.state == State.DEAD]
        return op.Reaped(len(rows) - len(dead), dead)

    def _recover(self, operation: op.Recover) -> int:
        running = json.dumps(operation.running)
        parameters = (operation.now, operation.holder, running)
        return self._connection.execute(sql.RECOVERED, parameters).rowcount

    def _leave(self, operation: op.Leave) -> None:
        if operation.runs:  # its lock goes with the process
            self._connection.execute("update journal_holder set drained = 1 where n = ?", (operation.holder,))
            return
        self._connection.execute("delete from journal_holder where n = ?", (operation.holder,))
        self._holder_locks.release(operation.holder)

    # Upkeep.

    def _park_unknown(self, operation: op.ParkUnknown) -> int:
        known: set[str] = set()
        for n, functions in self._connection.execute("select n, functions from journal_holder").fetchall():
            if self._holder_locks.lives(n):
                known.update(json.loads(functions))
        parameters = (operation.before, json.dumps(sorted(known)))
        return self._connection.execute(sql.PARK_UNKNOWN, parameters).rowcount

    def _unpark(self, operation: op.Unpark) -> int:
        parked = self._connection.execute("select distinct fn from journal_job where state = 5").fetchall()
        known = [(fn, operation.functions[fn]) for (fn,) in parked if fn in operation.functions]
        return sum(self._connection.execute(sql.UNPARKED, pair).rowcount for pair in known)

    def _put_right(self, operation: op.PutRight) -> int:
        return self._connection.execute(sql.PUT_RIGHT, (operation.now, operation.now)).rowcount

    def _prune(self, operation: op.Prune) -> int:
        limit = operation.limit
        parameters = (operation.done, limit, operation.dead, limit, limit)
        return self._connection.execute(sql.PRUNED, parameters).rowcount

    # Periodic work.

    def _read_tick(self, operation: op.ReadTick) -> int | None:
        found = self._connection.execute("select last from journal_tick where name = ?", (operation.name,))
        return next((last for (last,) in found.fetchall()), None)

    def _write_tick(self, operation: op.WriteTick) -> None:
        self._connection.execute(sql.TICKED, (operation.name, operation.last))

    # Results.

    def _read_result(self, operation: op.ReadResult) -> op.Result | None:
        found = self._connection.execute(sql.RESULT, (operation.key, operation.now)).fetchone()
        return None if found is None else op.Result._make(found)

    def _write_result(self, operation: op.WriteResult) -> bool:
        codec, body = operation.result
        named = {
            "key": operation.key, "codec": codec, "body": body, "expires": operation.expires,
            "now": operation.now, "only_new": operation.only_new,
        }  # fmt: skip
        return bool(self._connection.execute(sql.WRITTEN, named).rowcount)

    def _count_results(self, operation: op.CountResults) -> int:
        (count,) = self._connection.execute(sql.COUNTED, _under(operation)).fetchone()
        return int(count)

    def _results_under(self, operation: op.ResultsUnder) -> list[tuple[str, op.Result]]:
        found = self._connection.execute(sql.RESULTS, _under(operation)).fetchall()
        return [(key, op.Result(codec, body)) for key, codec, body in found]

    def _delete_results(self, operation: op.DeleteResults) -> int:
        return self._connection.execute(sql.RESULTS_DELETED, (json.dumps(operation.keys),)).rowcount

    def _prune_results(self, operation: op.PruneResults) -> int:
        return self._connection.execute(sql.RESULTS_PRUNED, (operation.now, operation.limit)).rowcount

    # For people.

    def _count(self, operation: op.Count) -> int:
        of_set = sql.of_set("select count(*) from journal_job", operation.name, operation.now, operation.only)
        (count,) = self._connection.execute(*of_set).fetchone()
        return int(count)

    def _page(self, operation: op.Page) -> list[Row]:
        select = f"select {sql.COLUMNS} from journal_job"  # noqa: S608 - our own names
        statement, parameters = sql.of_set(select, operation.name, operation.now, operation.only)
        if operation.below is not None:
            statement += " and n < :below"
        more = {"below": operation.below, "limit": operation.limit}
        found = self._connection.execute(f"{statement} order by n desc limit :limit", parameters | more)
        return [Row._make(row) for row in found]

    def _find(self, operation: op.Find) -> Row | None:
        statement = f"select {sql.COLUMNS} from journal_job where id = ?"  # noqa: S608 - our own names
        found = self._connection.execute(statement, (operation.id,)).fetchone()
        return None if found is None else Row._make(found)

    def _oldest(self, operation: op.Oldest) -> int | None:
        column = "ended" if operation.name in {"dead", "done"} else "due"
        select = f"select min({column}) from journal_job"  # noqa: S608 - our own names
        found = self._connection.execute(*sql.of_set(select, operation.name, operation.now, op.ALL))
        (oldest,) = found.fetchone()
        return None if oldest is None else int(oldest)

    def _act(self, operation: op.Act) -> list[int]:
        action = sql.ACTIONS[operation.action]
        statement, parameters = sql.of_set(action, operation.name, operation.now, op.ALL)
        statement += " and n in (select value from json_each(:jobs)) returning n"
        found = self._connection.execute(statement, parameters | {"jobs": json.dumps(operation.jobs)})
        return [n for (n,) in found.fetchall()]


@contextmanager
def _immediate(connection: sqlite3.Connection) -> Iterator[None]:
    """Run the block in one transaction that may write from its begin on."""
    connection.execute("begin immediate")
    try:
        yield
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:
            connection.execute("rollback")
        raise


def _under(operation: op.CountResults | op.ResultsUnder) -> dict[str, object]:
    """The parameters of `sql.UNDER`. No text sorts behind U+10FFFF."""
    prefix = operation.prefix
    return {"prefix": prefix, "behind": f"{prefix}\U0010ffff", "now": operation.now}


def _by_due(row: tuple[Any, ...]) -> tuple[int, int]:
    return row[12], row[0]


def _row_of(n: int, job: NewJob, holder: int) -> Row:
    """The row of a job that was claimed as it was written."""
    return Row(
        n, job.id, job.fn, job.queue, job.priority, State.RUNNING, job.codec, job.args, job.key, 1,
        job.max_attempts, 0, job.due, job.created, None, holder, 1, None,
    )  # fmt: skip


def _boot() -> str:
    """What tells this run of the machine from others; empty where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
