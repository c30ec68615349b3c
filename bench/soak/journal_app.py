"""The app of `journal_soak`: a process that enqueues jobs, runs them, and may kill itself at a planted point.

    python -m bench.soak.journal_app --url sqlite:///soak.db --port 4711 --point "after claim" --nth 3

A job calls the service at its begin and at its end. Of ten jobs, one fails in its first attempt, one is
delayed, one is enqueued in a transaction of the app's own, and one is a canvas of Celery's with four jobs.
What `accepted` says is reported when `enqueue` has returned, or the transaction was committed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final

import click
import psycopg

from bench.process.parent_watch import end_with_parent
from bench.soak.journal_canvas import Canvas
from inprocess import Backoff
from inprocess.celery import run_in_process
from inprocess.journal import Journal, current_job, durable
from inprocess.journal.model import operations as op
from inprocess.journal.model.store import Store

#: Coroutines that enqueue side by side, and seconds that each waits after a job.
ENQUEUERS: Final = 4
PAUSE_S: Final = 0.02
#: Seconds that a job takes.
JOB_S: Final = 0.02
#: Every how many jobs one fails first, one is delayed, and one is part of a transaction.
EVERY: Final = 10
DELAY_S: Final = 0.2
#: Which one of them is a canvas.
CANVAS: Final = 3
#: What may be planted: before, within and after the transaction of such an operation; around a run.
OPERATIONS: Final[dict[str, type[op.AnyOperation]]] = {
    "enqueue": op.Enqueue, "claim": op.Claim, "finish": op.Finish, "fail": op.Fail, "register": op.Register,
    "reap": op.Reap,
}  # fmt: skip
POINTS: Final = (
    *(f"{when} {what}" for what in OPERATIONS for when in ("before", "within", "after")),
    "before run", "after effect",
)  # fmt: skip


class Planted:
    """Kills this process when a point is passed for the n-th time."""

    def __init__(self, point: str | None, nth: int) -> None:
        self._point = point
        self._left = nth

    def passes(self, point: str) -> None:
        """Note that a point is passed."""
        if point == self._point:
            self._left -= 1
            if self._left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def into(self, make_store: Callable[[], Store]) -> Store:
        """Return a store that passes points: around its transactions, and in them.

        In PostgreSQL, where an operation alone is one statement, "within" is right before the commit of
        several.
        """
        store: Any = make_store()
        apply, there = store.apply, [""]
        if hasattr(store, "_commit"):
            commit = store._commit  # noqa: SLF001 - a soak plants points in it

            def committed() -> None:
                for what in there:
                    self.passes(f"within {what}")
                commit()

            store._commit = committed  # noqa: SLF001 - as above
        else:
            handlers = store._do  # noqa: SLF001 - as above
            for what, kind in OPERATIONS.items():
                handlers[kind] = partial(self._handled, what, handlers[kind])

        def applied(operations: Sequence[op.AnyOperation]) -> list[Any]:
            there[:] = [
                what for what, kind in OPERATIONS.items() if any(type(one) is kind for one in operations)
            ]
            for what in there:
                self.passes(f"before {what}")
            results: list[Any] = apply(operations)
            for what in there:
                self.passes(f"after {what}")
            return results

        store.apply = applied
        planted: Store = store
        return planted

    def _handled(self, what: str, handler: Callable[[Any], Any], operation: Any) -> Any:
        result = handler(operation)
        self.passes(f"within {what}")
        return result


class Client:
    """Calls the service and waits for its answer, one call at a time."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._lock = asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def say(self, event: str, name: str, attempt: int = 0) -> None:
        """Report an event."""
        async with self._lock:
            if self._streams is None:
                self._streams = await asyncio.open_connection("127.0.0.1", self._port)
            reader, writer = self._streams
            writer.write(f"{event} {name} {os.getpid()} {attempt}\n".encode())
            assert await reader.readline() == b"ok\n"  # noqa: S101 - what the service answers


class Soaked:
    """The app: the journal's task, and what enqueues it."""

    def __init__(self, journal: Journal, client: Client, planted: Planted) -> None:
        self._client = client
        self._planted = planted
        self._journal = journal
        self.canvas = Canvas(self._step)
        self._task = durable(name="soak.call", retry=Backoff(initial_s=0.05, max_s=0.2))(self._call)

    async def _call(self, name: str, number: int) -> None:
        job = current_job()
        assert job is not None  # noqa: S101 - it runs in one
        await self._client.say("run", name, job.attempt)
        self._planted.passes("before run")
        if number % EVERY == 1 and job.attempt == 1:
            raise ValueError("the first attempt fails")
        await asyncio.sleep(JOB_S)
        await self._client.say("effect", name, job.attempt)
        self._planted.passes("after effect")

    async def _step(self, name: str, attempt: int) -> None:
        await self._client.say("run", name, attempt)
        self._planted.passes("before run")
        await asyncio.sleep(JOB_S)
        await self._client.say("effect", name, attempt)
        self._planted.passes("after effect")

    async def enqueue_for_ever(self, numbers: count[int]) -> None:
        """Enqueue job after job."""
        while True:
            number = next(numbers)
            name = f"{os.getpid()}-{number}"
            if number % EVERY == CANVAS:
                for part in await self.canvas.send(name):
                    await self._client.say("accepted", part)
                continue
            if number % EVERY == 0:
                await asyncio.to_thread(self._within, name, number)
            else:
                await self._task.enqueue(name, number, delay_s=DELAY_S if number % EVERY == 2 else None)  # noqa: PLR2004 - one of EVERY
            await self._client.say("accepted", name)
            await asyncio.sleep(PAUSE_S)

    def _within(self, name: str, number: int) -> None:
        """Insert a user and enqueue the job in one transaction of the app's own."""
        url = self._journal.url
        if not url.startswith("sqlite:"):
            with psycopg.connect(url) as transaction:
                transaction.execute("insert into soak_user (name) values (%s)", (name,))
                self._task.enqueue(name, number, within=transaction)
            return
        connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, timeout=30)
        try:
            connection.execute("begin immediate")
            connection.execute("insert into soak_user (name) values (?)", (name,))
            self._task.enqueue(name, number, within=connection)
            connection.execute("commit")
        finally:
            connection.close()


def make_users(url: str) -> None:
    """Make the table of the app's own."""
    if not url.startswith("sqlite:"):
        with psycopg.connect(url) as connection:  # under a lock: two processes come at once
            connection.execute("select pg_advisory_xact_lock(1)")
            connection.execute("create table if not exists soak_user (name text primary key)")
        return
    with sqlite3.connect(Path(url.removeprefix("sqlite:///")), timeout=30) as users:
        users.execute("create table if not exists soak_user (name text primary key)")
    users.close()


async def run(url: str, port: int, planted: Planted, *, enqueues: bool) -> None:
    """Run jobs, and enqueue them, until the process is killed."""
    journal = Journal(url, app="soak")
    make_store = journal._make_store  # noqa: SLF001 - a soak plants points in it
    journal._make_store = partial(planted.into, make_store)  # noqa: SLF001 - as above
    journal.open()
    make_users(url)
    app = Soaked(journal, Client(port), planted)
    async with journal, run_in_process(app.canvas.app, journal=journal, concurrency=1):
        numbers = count()
        enqueuers = [app.enqueue_for_ever(numbers) for _ in range(ENQUEUERS)] if enqueues else []
        await asyncio.gather(*enqueuers, asyncio.Event().wait())


@click.command()
@click.option("--url", required=True)
@click.option("--port", type=int, required=True, help="Of the service.")
@click.option("--point", type=click.Choice(POINTS), help="Where it kills itself.")
@click.option("--nth", default=1, show_default=True, help="When it is there for the n-th time.")
@click.option("--enqueues/--runs-only", default=True)
def main(url: str, port: int, point: str | None, nth: int, enqueues: bool) -> None:  # noqa: FBT001 - click's way
    """Enqueue and run jobs until killed."""
    end_with_parent()
    asyncio.run(run(url, port, Planted(point, nth), enqueues=enqueues))


if __name__ == "__main__":
    main()
