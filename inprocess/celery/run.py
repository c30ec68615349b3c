"""Run a Celery app in this process: no broker, no worker process, its tasks unchanged.

    with run_in_process(app):
        send_receipt.delay(42)

    celery:<app>                  Supervisor, one_for_all
    ├── celery.tasks              TaskSupervisor: one child a running task
    ├── celery.worker             GenServer: Celery's worker, its queues and timer
    └── celery.beat               GenServer: the app's beat_schedule, if it has one

`with` runs the tree on a loop on a thread of its own; `async with` and `await` run it on the running loop;
`lifespan` ties it to an ASGI app. At the end the tree is drained: running and waiting tasks have `grace_s`
seconds; the rest is lost, and named in the log and in `report`.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    ExitStack,
    asynccontextmanager,
    contextmanager,
)
from typing import Any, Final, Self

from celery import Celery

from inprocess.celery.attach.app_patch import patched
from inprocess.celery.broker.broker import Broker
from inprocess.celery.celery_internals import worker_process
from inprocess.celery.celery_internals.green_threads import refuse_green_threads
from inprocess.celery.celery_internals.join_flag import join_patch
from inprocess.celery.celery_internals.request_identity import task_stack_patch
from inprocess.celery.durable.results import JournalStore
from inprocess.celery.results.backend import Store
from inprocess.celery.tree import Tree
from inprocess.celery.worker.task_preparation import restore_all
from inprocess.journal import Journal
from inprocess.supervision.core.process import Process
from inprocess.supervision.lifecycle.drain import GRACE_S, DrainReport, drain
from inprocess.supervision.lifecycle.runtime import Runtime, attach
from inprocess.supervision.periodic.tick_store import TickStore
from inprocess.supervision.supervisors.supervisor import Supervisor

#: Plain tasks that run at once, each in a thread.
CONCURRENCY: Final = 10
#: Name of the tree in the state of requests.
STATE_KEY: Final = "celery"


def run_in_process(
    app: Any,
    *,
    strict: bool = True,
    concurrency: int = CONCURRENCY,
    grace_s: float = GRACE_S,
    memory_results: bool = True,
    beat: bool = True,
    beat_state: TickStore | None = None,
    hostname: str | None = None,
    name: str | None = None,
    journal: Journal | None = None,
    journal_results: bool = False,
) -> InProcess:
    """Create a run of the app; start it with `with`, `async with`, `await`, `start` or `lifespan`.

    - `strict`: pass arguments and results through the app's serialiser, as a broker would; otherwise by
      reference.
    - `concurrency`: plain tasks that run at once. Coroutine tasks have their own slots.
    - `memory_results`: keep results in memory; otherwise in the app's own backend.
    - `beat`: whether to run the app's `beat_schedule`.
    - `beat_state`: where it keeps its last runs over restarts, such as `FileTickStore("beat.json")`; without
      one, an interval that is longer than the process lives never ends. A `beat_scheduler` of the app's own
      keeps what it keeps.
    - `hostname`: the worker's name in requests, results and remote control; `celery@` and the host's by
    default.
    - `name`: name of the tree, for the observer; `celery:` and the app's name by default, with a number where
      another run has that name.

    - `journal`: keep messages, retries and ETAs in this journal, so that a kill loses none; several processes
    may share it. Beat keeps its last runs there too, unless `beat_state` says otherwise. See docs/journal.md.
    - `journal_results`: keep results there as well, where every process of the journal reads them.

    `app` may be a proxy, such as `celery.current_app`. Raise ValueError for options out of range, and
    TypeError for what is no Celery app.
    """
    app = own_app(app)
    if concurrency < 1 or grace_s < 0:
        raise ValueError(
            f"concurrency is {concurrency} and grace_s {grace_s:g}: they must be at least 1 and 0"
        )
    if journal is not None and not strict:
        raise ValueError("journal= needs strict=True: what a row keeps has passed through the serialiser")
    if journal_results and (journal is None or not memory_results):
        raise ValueError("journal_results=True needs journal=, and memory_results=True")
    if journal is not None and beat_state is None:
        beat_state = journal.ticks
    tree = Tree(
        app,
        concurrency=concurrency,
        grace_s=grace_s,
        beat=beat,
        beat_state=beat_state,
        hostname=hostname,
        journal=journal,
    )
    store = None
    if memory_results:
        store = Store() if journal is None else JournalStore(journal, keeps_results=journal_results)
    return InProcess(app, tree, strict=strict, store=store, name=name)


class InProcess:
    """A run of an app, created by `run_in_process`. Used once: create another for another run."""

    def __init__(self, app: Any, tree: Tree, *, strict: bool, store: Store | None, name: str | None) -> None:
        self.app = app
        self.name = name or f"celery:{app.main or 'app'}"
        #: The report of the drain; None before the end.
        self.report: DrainReport | None = None
        #: Whether it waits for a first task to begin, and whether it ever did.
        self.stands_by = self._stood_by = False
        self._has_ended = False
        self._is_named = name is not None
        self._parts = tree
        self._strict = strict
        self._store = store
        self._undo = ExitStack()
        self._supervisor: Supervisor | None = None
        self._runtime = Runtime(self._application, name=self.name)

    @property
    def tree(self) -> Supervisor:
        """The supervision tree, for `snapshot`; raise RuntimeError if it does not run."""
        if self._supervisor is None:
            raise RuntimeError(f"{self.name} does not run: enter it with `with` or `async with` first")
        return self._supervisor

    @property
    def broker(self) -> Broker:
        """The queues."""
        return self._parts.broker

    @property
    def worker(self) -> Any:
        """Celery's worker object; raise RuntimeError if it does not run."""
        _ = self.tree  # raises where there is none
        return self._parts.worker.controller

    def start(self) -> Self:
        """Begin, on a loop on a thread of its own; raise RuntimeError if the app runs here already.

        The app's task modules are imported first, on the calling thread: it may hold the import lock of the
        app's own module, for which another thread would wait. Raise RuntimeError while Django loads its apps.
        """
        if self._supervisor is None:
            _refuse_while_django_loads(self.name)
            refuse_green_threads(self.name)
            self.app.loader.import_default_modules()
        self._runtime.start()
        return self

    def stop(self) -> DrainReport | None:
        """Drain and end; return the report. Raise RuntimeError on the run's own thread."""
        self._runtime.stop()
        return self.report

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def astart(self) -> Self:
        """Begin, on the running loop; errors as of `start`."""
        refuse_green_threads(self.name)
        self.hook()
        self.stands_by = False
        loop = asyncio.get_running_loop()
        if self._store is not None:
            self._store.loop = loop
        try:
            self._undo.enter_context(attach(loop))
            # In a thread: what receivers close there, such as Django's connections, is nobody's.
            await asyncio.to_thread(self._undo.enter_context, worker_process.held(self.app))
            supervisor = Supervisor.start(self._parts.children(), strategy="one_for_all", name=self.name)
            await supervisor.ready()
        except BaseException:
            self._undo.close()
            raise
        self._supervisor = supervisor
        return self

    async def astop(self) -> DrainReport:
        """Drain and end; return the report."""
        try:
            self.report = await drain(self.tree, grace_s=self._parts.grace_s)
        finally:
            self._supervisor = None
            self._undo.close()
        return self.report

    def __await__(self) -> Generator[Any, Any, Self]:
        return self.astart().__await__()

    async def __aenter__(self) -> Self:
        return await self.astart()

    async def __aexit__(self, *_: object) -> None:
        await self.astop()

    def lifespan(self, _asgi_app: object = None) -> AbstractAsyncContextManager[dict[str, Process]]:
        """The `lifespan=` of Starlette or FastAPI; requests find the tree as `request.state.celery`."""
        return self._lifespan()

    @contextmanager
    def attached(self, app: Any) -> Iterator[None]:
        """Make another app of this process send to this run and share its results, within the block."""
        with self._hooked(app):
            yield

    def hook(self) -> None:
        """Make the app send to this run, which may begin later. May be called repeatedly.

        Raise RuntimeError if another run has the app, and if this one has ended.
        """
        self.app.finalize()  # before the claim: an app whose broker is this process stands by from then on
        if self._has_ended:
            raise RuntimeError(f"{self.name} has ended: make another run with run_in_process")
        with _claiming:
            other = _running.get(id(self.app))
            if other is self:
                return
            if other is not None and other.stands_by:
                other._undo.close()  # noqa: SLF001 - of one class
            elif other is not None:
                raise RuntimeError(f"{other.name} runs already: leave that run first, or use it")
            if not self._is_named:
                self.name = _free_name(self.name)
            _running[id(self.app)] = self
        self._undo.callback(_running.pop, id(self.app))
        self._undo.enter_context(task_stack_patch.held())
        self._undo.enter_context(join_patch.held())
        self._undo.enter_context(self._hooked(self.app))
        self._undo.callback(self._end)

    def stand_by(self) -> None:
        """Make the app send to this run, which begins, as by `start`, with the first task."""
        self.hook()
        self.stands_by = self._stood_by = True
        self._parts.broker.wake = self.start

    def forked(self) -> None:
        """Refuse tasks in a fork of the process: the run belongs to the original.

        A run that stood by, or began so, stands by anew.
        """
        if self._stood_by:
            self._undo.close()
            run_in_process(self.app).stand_by()
            return
        self._close("runs in the process that this one was forked from: begin a run of its own here")

    def _end(self) -> None:
        self._has_ended = True
        self._close("has ended and takes no task any more: begin another run")

    def _close(self, why: str) -> None:
        self._parts.broker.refusal = f"{self.name} {why}"

    @contextmanager
    def _hooked(self, app: Any) -> Iterator[None]:
        parts = self._parts
        with patched(app, parts.broker, strict=self._strict, store=self._store, ask=parts.ask):
            try:
                yield
            finally:
                restore_all(app)  # the consumer has prepared them

    @asynccontextmanager
    async def _lifespan(self) -> AsyncIterator[dict[str, Process]]:
        async with self:
            yield {STATE_KEY: self.tree}

    @asynccontextmanager
    async def _application(self) -> AsyncIterator[Self]:
        async with self:
            yield self


def own_app(app: Any) -> Any:
    """Return the app behind a proxy (Celery's, werkzeug's); raise TypeError for what is no Celery app."""
    while (behind := getattr(app, "_get_current_object", None)) is not None:
        app = behind()
    if not isinstance(app, Celery):
        raise TypeError(f"run_in_process takes a Celery app, not {type(app).__qualname__}")
    return app


def running(app: Any) -> InProcess | None:
    """Return the run that has this app, standing by or begun."""
    return _running.get(id(app))


def _free_name(wanted: str) -> str:
    """Return this name, with a number where another run has it."""
    taken = {run.name for run in _running.values()}
    names = (wanted, *(f"{wanted}-{number}" for number in range(2, len(taken) + 3)))
    return next(name for name in names if name not in taken)


def _refuse_while_django_loads(name: str) -> None:
    """Raise RuntimeError in `AppConfig.ready`: Django holds a lock there which the worker needs."""
    apps = getattr(sys.modules.get("django.apps"), "apps", None)
    if apps is not None and apps.loading and not apps.ready:
        raise RuntimeError(
            f"{name} was started while Django loads its apps (in an AppConfig.ready?) and holds the lock of "
            "its app registry, for which the worker would wait: start it in wsgi.py or asgi.py, after "
            "get_wsgi_application() or get_asgi_application()"
        )


_running: dict[int, InProcess] = {}
_claiming = threading.Lock()


def _after_fork() -> None:
    global _claiming  # noqa: PLW0603 - another thread may have held it
    _claiming = threading.Lock()
    for run in list(_running.values()):
        run.forked()


os.register_at_fork(after_in_child=_after_fork)
