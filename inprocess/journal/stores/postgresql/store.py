"""PostgreSQLStore: a journal's rows in PostgreSQL, through one connection of the writer's thread.

1. A group of operations is one transaction, its neighbours one message to the server; an operation alone is
   one statement. All enqueues of a group are one INSERT.
2. Rows are claimed with SKIP LOCKED, so that processes do not wait for each other; NOTIFY wakes those that
   have free slots, once for a group, in its transaction.
3. The server's clock says what is due. Of what the caller's clock says, only distances count, but for a
   `run_at`, which is a time of day.
4. Whether a holder lives, its session tells (`holder_session`, `liveness`).
5. A connection that is lost is made again with the next group; the commit that was under way is in doubt.
6. `durability` "full" waits at each commit for the disk, as the server is set up to do, and "normal" does
   not: a crash of the server takes the last commits. A kill of the process takes nothing in either.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple
from zlib import crc32

import psycopg

from inprocess.journal.model import operations as op
from inprocess.journal.model.errors import (
    ArgumentsError,
    HolderLostError,
    JournalError,
    JournalReadOnlyError,
    JournalRefusedError,
    JournalUnavailableError,
    TransactionError,
)
from inprocess.journal.model.job import NewJob, Row, State
from inprocess.journal.model.store import Transaction
from inprocess.journal.stores.postgresql import schema as tables
from inprocess.journal.stores.postgresql import statements as sql
from inprocess.journal.stores.postgresql.holder_session import HolderSession
from inprocess.journal.stores.postgresql.liveness import Holder, Liveness
from inprocess.journal.stores.postgresql.schema import Connection, placed
from inprocess.journal.stores.postgresql.server import (
    PREPARED_AFTER,
    Address,
    address_of,
    connect,
    one_line,
    translated,
)

#: Values of `durability`, and `synchronous_commit` for each, where the server has it otherwise.
DURABILITY: Final = {"full": "on", "normal": "off"}
#: Seconds for which opening waits for the schema's lock.
SCHEMA_WAIT_S: Final = 30

_PIPELINES: Final = psycopg.Pipeline.is_supported()


class Home(NamedTuple):
    """Where a journal's tables are, and what tells it from others. Known once it was opened."""

    schema: str
    journal: str
    database: str

    @property
    def channel(self) -> str:
        """Of its notifications."""
        return f"journal_{crc32(self.journal.encode()):08x}"

    @property
    def lock_class(self) -> int:
        """Of its holders' locks."""
        return crc32(self.journal.encode()) & 0x7FFFFFFF


class Statement(NamedTuple):
    """One statement, and what its rows mean."""

    text: str
    parameters: Sequence[object] | dict[str, object]
    meaning: Callable[[list[tuple[Any, ...]]], Any]


class PostgreSQLStore:
    """See the module, and `model.store.Store`."""

    def __init__(self, url: str, *, app: str | None, durability: str) -> None:
        if durability not in DURABILITY:
            expected = " or ".join(map(repr, DURABILITY))
            raise JournalRefusedError(f"durability is {durability!r}: expected {expected}")
        self._address: Address = address_of(url)
        self._app = app
        self._durability = durability
        self._overrides_commit = False
        self._connection: Connection | None = None
        #: Behind a pooler a prepared statement may be another client's under the same name: nothing is
        #: prepared before the session has found that the connection is the server's own.
        self._prepares = False
        self._is_open = False
        self._session: HolderSession | None = None
        self._wake: Callable[[], object] = _nothing
        self._liveness = Liveness()
        self._is_alone = False
        self._turn = 0
        #: Holders that live on after `close`; those of the group under way that come and go.
        self._living: set[int] = set()
        self._taken: list[int] = []
        self._left: list[int] = []
        #: What an operation is, as one statement.
        self._one: dict[type[op.AnyOperation], Callable[[Any], Statement]] = {
            op.Claim: self._claim, op.Finish: self._finish, op.Fail: self._fail, op.GiveBack: self._give_back,
            op.Park: self._park, op.SetFunctions: self._set_functions, op.Recover: self._recover,
            op.ParkUnknown: self._park_unknown, op.Unpark: self._unpark, op.PutRight: self._put_right,
            op.Prune: self._prune, op.ReadTick: self._read_tick, op.WriteTick: self._write_tick,
            op.Count: self._count, op.Page: self._page, op.Find: self._find, op.Oldest: self._oldest,
            op.Act: self._act, op.Leave: self._leave, op.Take: self._take, op.Moved: self._moved,
            op.PutBack: self._put_back, op.ReadResult: self._read_result, op.WriteResult: self._write_result,
            op.CountResults: self._count_results, op.ResultsUnder: self._results_under,
            op.DeleteResults: self._delete_results, op.PruneResults: self._prune_results,
        }  # fmt: skip
        #: What others do, statement by statement.
        self._several: dict[type[op.AnyOperation], Callable[[Any], Any]] = {
            op.Register: self._register, op.Beats: self._beats, op.Reap: self._reap,
        }  # fmt: skip

    @property
    def url(self) -> str:
        """See `Store.url`."""
        return self._address.url

    @property
    def look_s(self) -> None:
        """See `Store.look_s`: notifications wake it."""

    def is_there(self) -> bool:
        """See `Store.is_there`."""
        with self._translated():
            connection = connect(self._address, prepares=False)
            with connection:
                name = tables.schema_of(connection, self._address.schema)
                return tables.identity(connection, name) is not None

    def open(self, wake: Callable[[], object]) -> None:
        """See `Store.open`."""
        self._wake = wake
        if not self._is_open:
            try:
                with self._translated():
                    self._connect()
                    self._set_up()
            except BaseException:
                self.close()
                raise
            self._is_open = True

    def close(self) -> None:
        """See `Store.close`."""
        self._is_open = False
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        session, self._session = self._session, None
        if session is not None:
            if self._living:  # something runs on, until the process ends
                _running_on.append(session)
            else:
                session.close()

    def forsake(self, holder: int) -> None:
        """See `Store.forsake`."""
        self._living.discard(holder)
        for session in (self._session, *_running_on):
            if session is not None and holder in session.holders:
                session.forsake(holder)

    def changed(self) -> bool:
        """See `Store.changed`."""
        return False

    def expect_soon(self) -> None:
        """See `Store.expect_soon`: a notification will come."""

    def apply(self, operations: Sequence[op.AnyOperation]) -> list[Any]:
        """See `Store.apply`."""
        if not self._is_open:
            raise JournalRefusedError(f"the journal {self.url} is not open")
        only_reads = not any(operation.writes for operation in operations)
        if self._connection is None:
            self._connect()
        try:
            return self._apply(operations)
        except JournalUnavailableError:
            if not only_reads or self._connection is not None:
                raise
            self._connect()  # it was cut while nothing was to do
            return self._apply(operations)

    def insert_within(self, transaction: Transaction, job: NewJob) -> op.Inserted:
        """See `Store.insert_within`."""
        if transaction.dialect != "postgresql":
            raise TransactionError(
                f"within= is a transaction of {transaction.dialect}, and the journal is {self.url}: both "
                "must be the same database"
            )
        home = self._home_of_callers()
        insert = sql.INSERT.replace("{s}", tables.quoted(home.schema)).replace("NOW", tables.NOW)
        there = sql.THERE.replace("{s}", tables.quoted(home.schema))
        parameters = self._enqueue_parameters([op.Enqueue(job)], home, is_told=True)
        for _ in range(2):  # the job with the key may end between the two statements
            try:
                found = transaction.run(insert, parameters) or transaction.run(there, (job.id, job.key))
            except Exception as error:
                if "journal_" not in str(error) or "does not exist" not in str(error):
                    raise
                raise TransactionError(self._elsewhere()) from error
            if found and len(found[0]) > 2:  # noqa: PLR2004 - the columns of THERE
                return op.Inserted(found[0][0], job.id, is_new=True)
            if found:
                return op.Inserted(found[0][0], found[0][1], is_new=False)
        raise TransactionError(self._elsewhere())

    # The connection.

    def _connect(self) -> None:
        self._liveness = Liveness()
        self._connection = connect(self._address, prepares=self._prepares)

    @property
    def _open_connection(self) -> Connection:
        assert self._connection is not None  # noqa: S101 - `apply` has seen to it
        return self._connection

    @property
    def _home(self) -> Home:
        return _homes[self._address]

    def _set_up(self) -> None:
        connection = self._open_connection
        name = tables.schema_of(connection, self._address.schema)
        if not tables.is_current(connection, name, self._app):
            try:
                with connection.transaction():
                    connection.execute(f"set local lock_timeout = '{SCHEMA_WAIT_S}s'".encode())
                    tables.migrate(connection, name, self._app, self.url)
            except psycopg.errors.InsufficientPrivilege as error:
                role = connection.info.user
                raise JournalRefusedError(
                    f"the journal {self.url}: its role may not make the tables ({one_line(error)}): as their "
                    f"owner, `grant create on schema {tables.quoted(name)} to {tables.quoted(role)}`, or "
                    "give it a schema of its own, as in ?schema=journal"
                ) from None
        journal = tables.identity(connection, name)
        assert journal is not None  # noqa: S101 - it has just been made
        _homes[self._address] = Home(name, journal, connection.info.dbname)
        ((commit,),) = connection.execute("show synchronous_commit").fetchall()
        self._overrides_commit = (commit == "off") != (self._durability == "normal")

    def _home_of_callers(self) -> Home:
        """Where the tables are, for a store that is not open: looked up once in a process."""
        if self._address not in _homes:
            with self._translated():
                connection = connect(self._address, prepares=False)
                with connection:
                    name = tables.schema_of(connection, self._address.schema)
                    journal = tables.identity(connection, name)
                    if journal is None:
                        raise TransactionError(
                            f"the journal {self.url} has no tables yet: start it, or call its open(), before"
                        )
                    _homes[self._address] = Home(name, journal, connection.info.dbname)
        return self._home

    def _elsewhere(self) -> str:
        home = self._home
        return (
            f"within= is a transaction in another database than the journal {self.url}, whose tables are in "
            f"the schema {home.schema!r} of {home.database!r}: both must be the same; without within= the "
            "job has its own transaction"
        )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Raise errors of the database as those of a journal; give up a connection that is of no use."""
        try:
            with translated(self.url):
                yield
        except JournalError as error:
            connection = self._connection
            # A server that is read-only may be one that another has taken the place of.
            is_useless = isinstance(error, JournalUnavailableError | JournalReadOnlyError)
            if connection is not None and (is_useless or connection.closed):
                self._connection = None
                connection.close()
            raise

    # Groups.

    def _apply(self, operations: Sequence[op.AnyOperation]) -> list[Any]:
        with self._translated():
            if self._session is None and any(type(operation) is op.Register for operation in operations):
                self._begin_session()
            self._taken.clear()
            self._left.clear()
            try:
                results = self._in_transaction(operations)
            except BaseException:
                for holder in self._taken:  # its row is not there, or belongs to nobody
                    self._free(holder)
                raise
            self._living.update(self._taken)
            for holder in self._left:
                self._free(holder)
            return results

    def _in_transaction(self, operations: Sequence[op.AnyOperation]) -> list[Any]:
        connection = self._open_connection
        has_keys = any(type(each) is op.Enqueue and each.job.key is not None for each in operations)
        is_one = len(operations) == 1 and type(operations[0]) not in {op.Register, op.Reap}
        if is_one and not has_keys and not self._overrides_commit:
            return self._results(operations)
        connection.execute(b"begin")
        try:
            if has_keys:
                connection.execute(sql.KEY_WAIT)
            if self._overrides_commit:
                setting = DURABILITY[self._durability]
                connection.execute(f"set local synchronous_commit = {setting}".encode())
            results = self._results(operations)
            self._commit()
        except BaseException:
            with suppress(psycopg.Error):
                connection.execute(b"rollback")
            raise
        return results

    def _commit(self) -> None:
        self._open_connection.execute(b"commit")

    def _results(self, operations: Sequence[op.AnyOperation]) -> list[Any]:
        """Apply operations in their order, neighbours in one message, and return what each returns."""
        results: list[Any] = []
        statements: list[Statement] = []
        place = 0
        while place < len(operations):
            operation = operations[place]
            end = place + 1
            if type(operation) is op.Enqueue:
                while end < len(operations) and type(operations[end]) is op.Enqueue:
                    end += 1
                self._send(statements, results)
                results += self._enqueue(operations[place:end])  # type: ignore[arg-type]  # all of them are
            elif type(operation) in self._several:
                self._send(statements, results)
                results.append(self._several[type(operation)](operation))
            else:
                statements.append(self._one[type(operation)](operation))
            place = end
        self._send(statements, results)
        return results

    def _send(self, statements: list[Statement], results: list[Any]) -> None:
        """Send statements, and add to the results what their rows mean."""
        if len(statements) > 1 and _PIPELINES:
            with self._open_connection.pipeline():
                cursors = [self._cursor(*statement[:2]) for statement in statements]
                found = [cursor.fetchall() for cursor in cursors]
            results += [each.meaning(rows) for each, rows in zip(statements, found, strict=True)]
        else:
            for statement in statements:
                results.append(statement.meaning(self._cursor(*statement[:2]).fetchall()))
        statements.clear()

    def _cursor(self, text: str, parameters: Any = ()) -> psycopg.Cursor[tuple[Any, ...]]:
        return self._open_connection.execute(placed(text, self._home.schema), parameters)

    def _rows(self, text: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
        return self._cursor(text, parameters).fetchall()

    # Jobs.

    def _enqueue(self, operations: Sequence[op.Enqueue]) -> list[op.Inserted]:
        parameters = self._enqueue_parameters(operations, self._home, is_told=not self._is_alone)
        new = {row[1]: row for row in self._rows(sql.INSERT, parameters)}
        return [self._inserted(operation, new.pop(operation.job.id, None)) for operation in operations]

    def _inserted(self, operation: op.Enqueue, row: tuple[Any, ...] | None) -> op.Inserted:
        job = operation.job
        while row is None:
            for n, job_id in self._rows(sql.THERE, (job.id, job.key)):
                return op.Inserted(n, job_id, is_new=False)
            # The job with the key has ended since.
            again = self._enqueue_parameters([operation], self._home, is_told=not self._is_alone)
            row = next(iter(self._rows(sql.INSERT, again)), None)
        n, _, holder, due, created = row[:5]
        claimed = None
        if holder is not None:
            claimed = Row(
                n, job.id, job.fn, job.queue, job.priority, State.RUNNING, job.codec, job.args, job.key, 1,
                job.max_attempts, 0, due, created, None, holder, 1, None,
            )  # fmt: skip
        return op.Inserted(n, job.id, is_new=True, row=claimed)

    @staticmethod
    def _enqueue_parameters(
        operations: Sequence[op.Enqueue], home: Home, *, is_told: bool
    ) -> tuple[object, ...]:
        jobs = [operation.job for operation in operations]
        for job in jobs:
            for name, value in (("id", job.id), ("function", job.fn), ("queue", job.queue), ("key", job.key)):
                if value is not None and not _is_text(value):
                    raise ArgumentsError(
                        f"{job.fn!r}: the {name} is {value!r}: a text of PostgreSQL has no NUL or surrogate"
                    )
        columns = [list(column) for column in zip(*jobs, strict=True)]
        holders = [operation.holder for operation in operations]
        return (*columns, holders, home.journal, is_told, home.channel)

    def _claim(self, operation: op.Claim) -> Statement:
        turn, self._turn = self._turn, self._turn + 1
        queues = None if operation.queues is None else list(operation.queues)
        parameters = (
            operation.holder, list(operation.functions), queues, operation.room, operation.suspects, turn
        )  # fmt: skip

        def claimed(found: list[tuple[Any, ...]]) -> op.Claimed:
            *rows, last = map(Row._make, found)
            if not last.state:
                raise self._lost(operation.holder)
            more = len(rows) >= operation.room > 0
            # Seen from the caller's clock, which need not be the server's.
            due = None if more or last.due is None else last.due - last.created + operation.now
            return op.Claimed(rows, more, due)

        return Statement(sql.CLAIM, parameters, claimed)

    def _finish(self, operation: op.Finish) -> Statement:
        numbers, tokens = _columns(operation.jobs)
        return Statement(sql.FINISHED, (numbers, tokens, operation.keep), _all)

    def _fail(self, operation: op.Fail) -> Statement:
        delay = None if operation.due is None else max(0, operation.due - operation.now)
        whose = (operation.n, operation.token)
        parameters = (delay, delay, delay, _text(operation.error), *whose, *whose)
        return Statement(sql.FAILED, parameters, _first)

    def _give_back(self, operation: op.GiveBack) -> Statement:
        return Statement(sql.GIVEN_BACK, _columns(operation.jobs), _all)

    def _park(self, operation: op.Park) -> Statement:
        whose = (operation.n, operation.token)
        return Statement(sql.PARKED, (_text(operation.reason), operation.by, *whose, *whose), _first)

    # Hand-over.

    def _take(self, operation: op.Take) -> Statement:
        return Statement(sql.TAKEN, (operation.holder, list(operation.functions), operation.limit), _jobs)

    def _moved(self, operation: op.Moved) -> Statement:
        return Statement(sql.MOVED, _columns(operation.jobs), _all)

    def _put_back(self, operation: op.PutBack) -> Statement:
        return Statement(sql.PUT_BACK, _columns(operation.jobs), _all)

    # Holders.

    def _begin_session(self) -> None:
        home = self._home
        session = HolderSession(
            self._address, home.schema, channel=home.channel, lock_class=home.lock_class, wake=self._wake
        )
        session.start(lambda *about: self._open_connection.execute(b"select pg_notify(%s, %s)", about))
        self._session = session
        if session.server is not None:
            self._prepares = True
            self._open_connection.prepare_threshold = PREPARED_AFTER

    def _free(self, holder: int) -> None:
        self._living.discard(holder)
        if self._session is not None:
            self._session.release(holder)

    def _lost(self, holder: int) -> HolderLostError:
        return HolderLostError(f"the journal {self.url}: holder {holder} is gone from its table")

    def _register(self, operation: op.Register) -> int:
        session = self._session
        assert session is not None  # noqa: S101 - `_apply` has begun it
        ((n,),) = self._rows(sql.NEXT_HOLDER)
        session.take(n)  # before the commit: nobody sees the row without the lock
        self._taken.append(n)
        about = (
            n,
            os.getpid(),
            socket.gethostname(),
            _boot(),
            json.dumps(operation.functions),
            session.server,
        )
        self._cursor(sql.REGISTERED, about)
        return int(n)

    def _set_functions(self, operation: op.SetFunctions) -> Statement:
        return Statement(sql.SET_FUNCTIONS, (json.dumps(operation.functions), operation.holder), _none)

    def _holders(self, which: str = "", *parameters: object) -> list[Holder]:
        return [Holder(*row) for row in self._rows(sql.HOLDERS + which, (self._home.lock_class, *parameters))]

    def _beats(self, operation: op.Beats) -> op.Beat:
        holders = self._holders()
        self._liveness.note(holders)
        if not any(holder.n == operation.holder for holder in holders):
            raise self._lost(operation.holder)
        self._is_alone = len(holders) == 1
        own = [] if self._session is None else self._session.holders
        dead = [each.n for each in holders if each.n not in own and self._liveness.is_dead(each)]
        ((oldest_writer,),) = self._rows(sql.OLDEST_WRITER)
        return op.Beat(dead, oldest_writer <= tables.VERSION)

    def _reap(self, operation: op.Reap) -> op.Reaped:
        holder = next(iter(self._holders(" where h.n = ? for update of h", operation.holder)), None)
        own = [] if self._session is None else self._session.holders
        if holder is None or holder.n in own or not self._liveness.is_dead(holder):
            return op.Reaped(0, [])
        blame = int(holder.is_to_blame(socket.gethostname(), _boot()))
        parameters = (blame, blame, blame, blame, blame, holder.n)
        rows = [Row._make(row) for row in self._rows(sql.REAPED, parameters)]
        self._rows(sql.RETURNED, (holder.n,))
        self._rows(sql.LEFT, (holder.n,))
        dead = [row for row in rows if row.state == State.DEAD]
        return op.Reaped(len(rows) - len(dead), dead)

    def _recover(self, operation: op.Recover) -> Statement:
        return Statement(sql.RECOVERED, (operation.holder, operation.running), _first)

    def _leave(self, operation: op.Leave) -> Statement:
        if operation.runs:  # its lock goes with the process
            return Statement(sql.DRAINED, (operation.holder,), _none)
        self._left.append(operation.holder)
        return Statement(sql.LEFT, (operation.holder,), _none)

    # Upkeep.

    def _park_unknown(self, operation: op.ParkUnknown) -> Statement:
        return Statement(sql.PARK_UNKNOWN, (operation.before,), _first)

    def _unpark(self, operation: op.Unpark) -> Statement:
        known = operation.functions
        return Statement(sql.UNPARKED, ([*known], [*known.values()]), _first)

    def _put_right(self, _operation: op.PutRight) -> Statement:
        return Statement(sql.PUT_RIGHT, (), _first)

    def _prune(self, operation: op.Prune) -> Statement:
        limit = operation.limit
        return Statement(sql.PRUNED, (operation.done, limit, operation.dead, limit, limit), _first)

    # Periodic work.

    def _read_tick(self, operation: op.ReadTick) -> Statement:
        return Statement(sql.READ_TICK, (operation.name,), _first)

    def _write_tick(self, operation: op.WriteTick) -> Statement:
        return Statement(sql.TICKED, (operation.name, operation.last), _none)

    # Results.

    def _read_result(self, operation: op.ReadResult) -> Statement:
        return Statement(sql.RESULT, (operation.key,), lambda found: op.Result(*found[0]) if found else None)

    def _write_result(self, operation: op.WriteResult) -> Statement:
        lives = None if operation.expires is None else operation.expires - operation.now
        return Statement(sql.WRITTEN, (operation.key, *operation.result, lives, operation.only_new), _first)

    def _count_results(self, operation: op.CountResults) -> Statement:
        return Statement(sql.COUNTED, _under(operation.prefix), _first)

    def _results_under(self, operation: op.ResultsUnder) -> Statement:
        def results(found: list[tuple[Any, ...]]) -> list[tuple[str, op.Result]]:
            return [(key, op.Result(codec, body)) for key, codec, body in found]

        return Statement(sql.RESULTS, _under(operation.prefix), results)

    def _delete_results(self, operation: op.DeleteResults) -> Statement:
        return Statement(sql.RESULTS_DELETED, (operation.keys,), _first)

    def _prune_results(self, operation: op.PruneResults) -> Statement:
        return Statement(sql.RESULTS_PRUNED, (operation.limit,), _first)

    # For people.

    def _count(self, operation: op.Count) -> Statement:
        where, named = sql.of_set(operation.name, operation.only)
        return Statement(f"select count(*) from {{s}}.journal_job where {where}", named, _first)  # noqa: S608 - our own names

    def _page(self, operation: op.Page) -> Statement:
        where, named = sql.of_set(operation.name, operation.only)
        if operation.below is not None:
            where += " and n < %(below)s"
        more = {"below": operation.below, "limit": operation.limit}
        text = f"select {sql.COLUMNS} from {{s}}.journal_job where {where} order by n desc limit %(limit)s"  # noqa: S608 - our own names
        return Statement(text, named | more, _jobs)

    def _find(self, operation: op.Find) -> Statement:
        text = f"select {sql.COLUMNS} from {{s}}.journal_job where id = %(id)s"  # noqa: S608 - our own names
        return Statement(text, {"id": _text(operation.id)}, lambda found: next(iter(_jobs(found)), None))

    def _oldest(self, operation: op.Oldest) -> Statement:
        column = "ended" if operation.name in {"dead", "done"} else "due"
        where, named = sql.of_set(operation.name, op.ALL)
        return Statement(f"select min({column}) from {{s}}.journal_job where {where}", named, _first)  # noqa: S608 - our own names

    def _act(self, operation: op.Act) -> Statement:
        where, named = sql.of_set(operation.name, op.ALL)
        text = f"{sql.ACTIONS[operation.action]} {where} and n = any(%(jobs)s::bigint[]) returning n"
        if operation.action == "retry":
            text += ", pg_notify(%(channel)s, '')::text"
        return Statement(text, {**named, "jobs": operation.jobs, "channel": self._home.channel}, _all)


def _nothing() -> None:
    """For a store of which nobody wants to know changes."""


def _first(found: list[tuple[Any, ...]]) -> Any:
    """The first value of the first row; None without one."""
    return found[0][0] if found else None


def _all(found: list[tuple[Any, ...]]) -> list[Any]:
    """The first value of each row."""
    return [row[0] for row in found]


def _none(_found: list[tuple[Any, ...]]) -> None:
    """For what returns nothing."""


def _jobs(found: list[tuple[Any, ...]]) -> list[Row]:
    return [Row._make(row) for row in found]


def _columns(jobs: Sequence[tuple[int, int]]) -> tuple[list[int], list[int]]:
    return [n for n, _ in jobs], [token for _, token in jobs]


def _under(prefix: str) -> tuple[str, str]:
    """The bounds of the keys that begin with a prefix. No text sorts behind U+10FFFF."""
    return prefix, f"{prefix}\U0010ffff"


def _is_text(value: str) -> bool:
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False


def _text(value: str) -> str:
    """A text that PostgreSQL takes: one without NUL and lone surrogates."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def _boot() -> str:
    """What tells this run of the machine from others; empty where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


#: Where journals are, by their address: once known in a process, for callers' transactions.
_homes: dict[Address, Home] = {}
#: Sessions of holders that run on after their store was closed.
_running_on: list[HolderSession] = []
