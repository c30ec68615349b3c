"""The processes of a run, and the access to them.

If one of them crashes, all are restarted (one_for_all): a worker without the record of running tasks would
run them twice. The broker and the results are no processes and survive; what was not acknowledged is
delivered again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from inprocess.celery.beat import Beat, BeatScheduler
from inprocess.celery.broker.broker import LANES, Broker, Lane
from inprocess.celery.durable.broker import JournalBroker, once
from inprocess.celery.durable.tasks import CeleryTasks
from inprocess.celery.own_scheduler import OwnBeat, own_scheduler
from inprocess.celery.worker.pool import MAX_COROUTINES, Tasks
from inprocess.celery.worker.task_preparation import lane_of
from inprocess.celery.worker.worker import Worker
from inprocess.journal import Journal
from inprocess.supervision.core.process import Process
from inprocess.supervision.core.thread_bridge import hop
from inprocess.supervision.periodic.tick_store import TickStore
from inprocess.supervision.supervisors.child_spec import ChildSpec


class Tree:
    """See the module."""

    tasks: Tasks
    worker: Worker

    def __init__(
        self,
        app: Any,
        *,
        concurrency: int,
        grace_s: float,
        beat: bool,
        beat_state: TickStore | None,
        hostname: str | None,
        journal: Journal | None,
    ) -> None:
        self.app = app
        self.grace_s = grace_s
        self._kept: dict[Lane, CeleryTasks] = {}
        self.broker: Broker
        if journal is None:
            self.broker = Broker(self._lane_of)
        else:
            durable = JournalBroker(journal, self._lane_of)
            self.broker = durable
            self._kept = {lane: CeleryTasks(app, durable, lane) for lane in LANES}
        self._journal = journal
        self._concurrency = concurrency
        self._hostname = hostname
        self._beat = beat
        self._beat_state = beat_state
        self._scheduler: BeatScheduler | None = None
        self._lanes: dict[str | None, Lane] = {}

    def children(self) -> list[ChildSpec]:
        """Return the child specs, in the order of their start."""
        specs = [
            *(ChildSpec(f"celery.journal.{lane}", partial(self._start_journal, lane)) for lane in self._kept),
            ChildSpec("celery.tasks", self._start_tasks, type="supervisor"),
            ChildSpec("celery.worker", self._start_worker, shutdown="infinity"),
        ]
        if self._beat and (self.app.conf.beat_schedule or own_scheduler(self.app)):
            specs.append(ChildSpec("celery.beat", self._start_beat))
        return specs

    def ask(self, question: Callable[[Any], Any]) -> Any:
        """Call a function with Celery's worker on its loop; return None if it does not run. Any thread."""
        worker: Worker | None = getattr(self, "worker", None)
        if worker is None or worker.exit is not None:
            return None
        if worker.is_here:
            return question(worker.controller)
        try:
            return hop(worker.loop, partial(question, worker.controller))
        except RuntimeError:  # the loop is closed
            return None

    def _start_journal(self, lane: Lane) -> Process:
        assert self._journal is not None  # noqa: S101 - it has kept tasks
        slots = {"thread": self._concurrency, "loop": MAX_COROUTINES}[lane]
        name = f"{self._journal.name}.celery.{lane}"
        return self._journal.start_for(self._kept[lane], concurrency=slots, name=name)

    def _start_tasks(self) -> Process:
        self.tasks = Tasks.start()
        return self.tasks

    def _start_worker(self) -> Process:
        self.worker = Worker.start(
            self.app, self.broker, self.tasks, self._concurrency, self.grace_s, hostname=self._hostname
        )
        return self.worker

    def _start_beat(self) -> Process:
        own = own_scheduler(self.app)
        if own is not None:
            return OwnBeat.start(self.app, own)
        if self._scheduler is None:
            self._scheduler = BeatScheduler(
                self.app, store=self._beat_state, once=once if self.broker.survives else None
            )
        return Beat.start(self._scheduler)

    def _lane_of(self, name: str | None) -> Lane:
        lane = self._lanes.get(name)
        if lane is None:
            task = self.app._tasks.get(name)  # noqa: SLF001 - `tasks` would finalise the app
            lane = lane_of(task)
            if task is not None:
                self._lanes[name] = lane
        return lane
