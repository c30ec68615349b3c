"""Run a Celery app in this process: no broker, no worker process, its tasks unchanged.

    with run_in_process(app):
        send_receipt.delay(42)

    celery                        Supervisor, one_for_all
    ├── celery.tasks              TaskSupervisor: one child a running task
    ├── celery.worker             GenServer: Celery's worker, its queues and timer
    └── celery.beat               GenServer: the app's beat_schedule, if it has one

`with` gives the tree a loop on a thread of its own; `async with` and `await` put it on the running
loop; `lifespan` ties it to an ASGI app; `tree` starts it as part of a tree of yours. At the end the
tree is drained: what runs and waits gets `grace_s` seconds, what is left is named in the log and in
`report`, and lost.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Self

from inprocess.celery.backend import Store
from inprocess.celery.broker import Broker, Lane
from inprocess.celery.hooks import hooked
from inprocess.celery.identity import followed
from inprocess.celery.pool import Tasks
from inprocess.celery.taskwise import lane_of
from inprocess.celery.worker import Worker
from inprocess.supervision.child_spec import ChildSpec
from inprocess.supervision.drain import DrainReport, drain
from inprocess.supervision.errors import ServerDiedError
from inprocess.supervision.process import Process
from inprocess.supervision.runtime import Runtime, attach
from inprocess.supervision.supervisor import Supervisor
from inprocess.supervision.threads import hop

#: Plain tasks that run at once, each in a thread.
CONCURRENCY: Final = 10
#: Seconds that running and waiting tasks get at the end before they are cut off.
GRACE_S: Final = 10.0

_running: dict[int, InProcess] = {}
_lock = threading.Lock()


def run_in_process(
    app: Any,
    *,
    strict: bool = True,
    concurrency: int = CONCURRENCY,
    grace_s: float = GRACE_S,
    memory_results: bool = True,
    name: str | None = None,
) -> InProcess:
    """Make a run of the app; it begins with `with`, `async with`, `await`, `start` or `lifespan`.

    - `strict`: arguments and results go through the app's serialiser, as on their way to a broker; else
      they are passed by reference.
    - `concurrency`: plain tasks that run at once. Coroutine tasks have slots of their own.
    - `memory_results`: results are kept in memory; else in the backend that the app is set up with.
    - `name`: of the tree, for the observer.

    Raise ValueError for options that make no run.
    """
    if concurrency < 1 or grace_s < 0:
        raise ValueError(
            f"concurrency is {concurrency} and grace_s {grace_s:g}: they must be at least 1 and 0"
        )
    return InProcess(
        app,
        strict,
        concurrency,
        grace_s,
        Store() if memory_results else None,
        name or f"celery:{app.main or 'app'}",
    )


@dataclass(eq=False)
class InProcess:
    """A run of an app; see the module. Used once: make another for another run."""

    app: Any
    strict: bool
    concurrency: int
    grace_s: float
    store: Store | None
    name: str
    #: What became of the tasks at the end; None until then.
    report: DrainReport | None = None
    broker: Broker = field(init=False)
    _tree: Supervisor | None = None
    _lanes: dict[str | None, Lane] = field(default_factory=dict)
    _stack: ExitStack = field(default_factory=ExitStack)
    _runtime: Runtime | None = None

    def __post_init__(self) -> None:
        self.broker = Broker(self._lane_of)

    @property
    def tree(self) -> Supervisor:
        """The supervision tree; raise RuntimeError before the start."""
        if self._tree is None:
            raise RuntimeError(f"{self.name} does not run: enter it with `with` or `async with` first")
        return self._tree

    def start(self) -> Self:
        """Begin, on a loop on a thread of its own; raise RuntimeError where the app runs here already."""
        self._runtime = Runtime(self._application, name=self.name)
        try:
            self._runtime.start()
        except BaseException:
            self._runtime = None
            raise
        return self

    def stop(self) -> DrainReport | None:
        """Drain and end; what became of the tasks. Raise RuntimeError on the run's own thread."""
        if self._runtime is not None:
            self._runtime.stop()
        return self.report

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def astart(self) -> Self:
        """Begin, on the running loop; errors as those of `start`."""
        self._claim()
        try:
            self._stack.enter_context(attach(asyncio.get_running_loop()))
            self._tree = Supervisor.start(self._children(), strategy="one_for_all", name=self.name)
            await self._tree.ready()
        except BaseException:
            self._release()
            raise
        return self

    async def astop(self) -> DrainReport:
        """Drain and end; what became of the tasks."""
        try:
            self.report = await drain(self.tree, grace_s=self.grace_s)
        finally:
            self._release()
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

    @asynccontextmanager
    async def _lifespan(self) -> AsyncIterator[dict[str, Process]]:
        async with self:
            yield {"celery": self.tree}

    @asynccontextmanager
    async def _application(self) -> AsyncIterator[Self]:
        async with self:
            yield self

    def _children(self) -> list[ChildSpec]:
        return [
            ChildSpec("celery.tasks", self._start_tasks, type="supervisor"),
            ChildSpec("celery.worker", self._start_worker),
        ]

    def _start_tasks(self) -> Process:
        self._tasks = Tasks.start()
        return self._tasks

    def _start_worker(self) -> Process:
        self._worker = Worker.start(self.app, self.broker, self._tasks, self.concurrency, self.grace_s)
        return self._worker

    def _claim(self) -> None:
        with _lock:
            if id(self.app) in _running:
                raise RuntimeError(
                    f"{_running[id(self.app)].name} runs already: leave that run first, or use it"
                )
            _running[id(self.app)] = self
        self._stack.callback(_running.pop, id(self.app), None)
        self._stack.enter_context(followed())
        self._stack.enter_context(
            hooked(self.app, self.broker, strict=self.strict, store=self.store, ask=self._ask)
        )
        self._stack.callback(self._close)

    def _close(self) -> None:
        self.broker.refusal = f"{self.name} has ended: no task is taken in any more"

    def _release(self) -> None:
        self._stack.close()

    def _ask(self, question: Callable[[Any], Any]) -> Any:
        """Have the worker answer a question, on its loop's thread. Any thread."""
        worker = self._worker
        if worker.exit is not None:
            return None
        if worker.is_here:
            return question(worker.controller)
        try:
            return hop(worker.loop, partial(question, worker.controller))
        except (ServerDiedError, RuntimeError):
            return None

    def _lane_of(self, name: str | None) -> Lane:
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = lane_of(self.app._tasks.get(name))  # noqa: SLF001 - `tasks` would finalise the app
        return lane
