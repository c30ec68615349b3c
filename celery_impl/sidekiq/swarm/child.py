"""A child: the process that fetches, runs and acknowledges.

It is forked by the parent's worker, so that app, tasks and settings are there. It does what a child of
prefork does at its start, and then builds a consumer of its own on the inherited worker: a connection, the
sending of task events, the fetch of jobs, an event loop. All else (remote control, gossip, heartbeats, the
scheduler, the state file) is the parent's alone.

| what comes         | what it does                                                                   |
|--------------------|--------------------------------------------------------------------------------|
| TERM               | finishes its job, gives back what it fetched ahead and ends, or ends the job   |
| USR1               | soft time limit                                                                |
| INT, HUP, QUIT     | nothing: they are the parent's                                                 |
| a command          | a thread takes it, also while a job runs                                       |
| end of the line    | the parent is gone: as TERM, and in ORPHAN_S at the latest                     |
"""

from __future__ import annotations

import logging
import math
import os
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from celery import _state as celery_state
from celery import platforms, signals
from celery.app import trace
from celery.utils.collections import AttributeDict
from celery.worker import state as worker_state
from celery.worker.control import Panel
from kombu.asynchronous import Hub, set_event_loop
from kombu.asynchronous.timer import Timer

from celery_impl.sidekiq.lease.holder import AWAY
from celery_impl.sidekiq.swarm import messages
from celery_impl.sidekiq.swarm.child_pool import ChildPool
from celery_impl.sidekiq.swarm.rate_limits import BucketTable
from celery_impl.sidekiq.swarm.slots import Slot

#: Seconds that a child's job has to end once its parent is gone.
ORPHAN_S: Final = 25.0
#: Seconds between two looks whether the parent is there, once the line has ended.
LOOK_S: Final = 0.25
#: Seconds for which a child that ends tries to tell the broker what has ended.
FAREWELL_S: Final = 5.0
#: Signals that the parent deals with, for its children too.
IGNORED: Final = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
#: Signals that must not arrive between the fork and the child's own handlers.
BLOCKED: Final = (*IGNORED, signal.SIGTERM, signal.SIGUSR1)
#: Commands that must not change what the event loop reads while it reads.
ON_LOOP: Final = ("add_consumer", "cancel_consumer")

_STATE: Final[Any] = celery_state
_TRACE: Final[Any] = trace
_WORKER_STATE: Final[Any] = worker_state

logger = logging.getLogger(__name__)


class Child:
    """One child; made in the parent, run in the forked process."""

    def __init__(
        self, worker: Any, slot: Slot, buckets: BucketTable, *, inherited: list[socket.socket]
    ) -> None:
        self._worker = worker
        self._app = worker.app
        self._slot = slot
        self._buckets = buckets
        self._inherited = inherited
        self._parent = os.getpid()
        self._consumer: Any = None
        self._calls: deque[Callable[[], object]] = deque()
        self._has_ended = threading.Event()

    def run(self, end: socket.socket) -> None:
        """Run until told to stop; never return. The target of the process."""
        code = os.EX_SOFTWARE
        try:
            for other in self._inherited:
                other.close()
            self._wake_end, self._wake_start = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
            self._take_signals()
            self._initialize()
            self._build_consumer()
            threading.Thread(target=self._serve, args=(end,), name="swarm-commands", daemon=True).start()
            code = self._consume()
        except BaseException:
            logger.critical("process %d cannot go on", os.getpid(), exc_info=True)
        finally:
            self._exit(code)

    def interrupt_loop(self) -> None:
        """Have the event loop turn now."""
        with suppress(BlockingIOError):
            os.write(self._wake_start, b"\0")

    def _take_signals(self) -> None:
        signal.set_wakeup_fd(self._wake_start, warn_on_full_buffer=False)
        for number in IGNORED:
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._terminate)
        signal.signal(signal.SIGUSR1, self._interrupt)
        worker_state.should_stop = worker_state.should_terminate = None
        signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED)

    def _terminate(self, *_: object) -> None:
        pool = getattr(self, "_pool", None)
        if pool is None or not pool.end_job():
            _stop()

    def _interrupt(self, *frame: object) -> None:
        pool = getattr(self, "_pool", None)
        if pool is not None:
            pool.interrupt(*frame)

    def _initialize(self) -> None:
        """As `celery.concurrency.prefork.process_initializer`, but what was revoked stays known."""
        app, hostname = self._app, self._worker.hostname
        _STATE._set_task_join_will_block(True)  # noqa: SLF001 - pinned by a test
        platforms.set_mp_process_title("celeryd", hostname=hostname)
        app.loader.init_worker()
        app.loader.init_worker_process()
        logfile = os.environ.get("CELERY_LOG_FILE") or None
        if logfile and "%i" in logfile.lower():
            app.log.already_setup = False
        app.log.setup(
            int(os.environ.get("CELERY_LOG_LEVEL") or 0),
            logfile,
            bool(os.environ.get("CELERY_LOG_REDIRECT")),
            str(os.environ.get("CELERY_LOG_REDIRECT_LEVEL")),
            hostname=hostname,
        )
        app.set_current()
        _STATE.set_default_app(app)
        app.finalize()
        _TRACE._tasks = app._tasks  # noqa: SLF001 - pinned by a test
        _reset_state()
        signals.worker_process_init.send(sender=hostname)

    def _build_consumer(self) -> None:
        worker, app = self._worker, self._app
        options = worker.pool.options
        worker.timer = Timer(max_interval=10.0)
        set_event_loop(None)
        worker.hub = Hub(worker.timer)
        set_event_loop(worker.hub)
        self._pool = worker.pool = ChildPool(
            self._slot,
            die=self._exit,
            retire=_stop,
            flush_events=self._flush_events,
            **{**options, "app": app},
        )
        worker.autoscaler = worker.max_concurrency = None
        worker.register_with_event_loop = self._register
        app.steps["consumer"].clear()  # they run in the parent
        self._consumer = worker.consumer = consumer_class(worker.consumer_cls)(
            worker._process_task,  # noqa: SLF001 - pinned by a test
            hostname=worker.hostname,
            task_events=worker.task_events,
            initial_prefetch_count=worker.prefetch_multiplier,
            pool=self._pool,
            timer=worker.timer,
            app=app,
            controller=worker,
            hub=worker.hub,
            worker_options={**worker.options, "without_mingle": True},
            disable_rate_limits=worker.disable_rate_limits,
            prefetch_multiplier=worker.prefetch_multiplier,
        )
        self._consumer.swarm_child = self
        self._consumer.reset_rate_limits()
        self._state = AttributeDict(app=app, hostname=worker.hostname, consumer=self._consumer, tset=set)

    def _register(self, hub: Any) -> None:
        hub.add_reader(self._wake_end, self._on_wake)

    def _on_wake(self, *_: object) -> None:
        with suppress(BlockingIOError):
            os.read(self._wake_end, 4096)
        while self._calls:
            self._calls.popleft()()

    def ready(self) -> None:
        """Note the holder of this connection. Called when the consumer is about to fetch."""
        self._slot.fetches(self._consumer.task_consumer.channel.holder.id)

    def bucket(self, task: Any, per_s: float) -> Any:
        """Return the bucket of a task, which all children share."""
        return self._buckets.bucket(task.name, per_s)

    def _consume(self) -> int:
        try:
            self._consumer.start()
        except SystemExit as error:  # Celery's WorkerShutdown and WorkerTerminate are
            code = error.code if isinstance(error.code, int) else os.EX_SOFTWARE
        else:
            code = 0
        self._farewell()
        return code

    def _farewell(self) -> None:
        """Tell the broker what has ended, and give back what was fetched ahead."""
        task_consumer = self._consumer.task_consumer
        channel = getattr(task_consumer, "channel", None)
        holder = getattr(channel, "holder", None)
        until = time.monotonic() + FAREWELL_S
        while holder is not None:
            try:
                holder.confirm()
                [numbers] = holder.leases.commands.call(("HKEYS", holder.leases.held_key(holder.id)))
                holder.leases.return_unstarted(holder.id, map(int, numbers))
                holder.leases.recover(holder.id)
                break
            except AWAY:
                if time.monotonic() > until:
                    logger.warning("no answer of the broker: what was fetched ahead goes back with the lease")
                    break
                time.sleep(0.1)
        self._flush_events()

    def _flush_events(self) -> None:
        dispatcher = self._consumer.event_dispatcher if self._consumer is not None else None
        if (
            dispatcher is not None
            and dispatcher.enabled
            and (not dispatcher.groups or "task" in dispatcher.groups)
        ):
            try:
                dispatcher.flush()
            except Exception:  # the events are for people who look on
                logger.debug("task events were not sent", exc_info=True)

    def _serve(self, end: socket.socket) -> None:
        messages.serve(end, self._take)
        _stop()
        self.interrupt_loop()
        until = math.inf
        while not self._has_ended.wait(LOOK_S):
            if until == math.inf and os.getppid() != self._parent:
                logger.warning("the worker's main process is gone: process %d stops", os.getpid())
                until = time.monotonic() + ORPHAN_S
            if time.monotonic() > until:
                logger.error(
                    "process %d ends with its job unfinished: it goes back with the lease", os.getpid()
                )
                os._exit(os.EX_SOFTWARE)

    def _take(self, name: str, arguments: dict[str, Any]) -> None:
        """Take a command: what is about revoked jobs by hand, the rest as Celery's own worker."""
        if name == "revoked":
            worker_state.revoked.update(arguments["ids"])
            worker_state.revoked_stamps.update(arguments["stamps"])
            return
        command = partial(Panel.data[name], self._state, **arguments)
        if name in ON_LOOP:
            self._calls.append(command)
            self.interrupt_loop()
            return
        try:
            command()
        except Exception:  # the parent has answered for it
            logger.exception("command %s failed in process %d", name, os.getpid())

    def _exit(self, code: int) -> None:
        """End the process. Not by `sys.exit`: what is registered to happen at the end is the parent's."""
        self._has_ended.set()
        with suppress(Exception):
            self._flush_events()
            signals.worker_process_shutdown.send(sender=self._worker.hostname, pid=os.getpid(), exitcode=code)
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        os._exit(code & 0xFF)


def consumer_class(kind: Any) -> Any:
    """Return the consumer of a child: the parent's, with the steps that a child needs."""
    from kombu.utils.imports import symbol_by_name  # late: with the rest of what only a worker needs

    base = getattr(kind, "child_of", None) or symbol_by_name(kind)

    class Blueprint(base.Blueprint):  # type: ignore[misc,name-defined] # Celery's, of the app's own consumer
        default_steps = (
            "celery.worker.consumer.connection:Connection",
            "celery.worker.consumer.events:Events",
            "celery.worker.consumer.tasks:Tasks",
            "celery.worker.consumer.consumer:Evloop",
        )

    class ChildConsumer(base):  # type: ignore[misc,valid-type] # the app's own
        swarm_child: Child | None = None

        def loop_args(self) -> Any:
            self.task_consumer.channel.runs_jobs_in_turn = True
            return super().loop_args()

        def on_ready(self) -> None:
            super().on_ready()
            if self.swarm_child is not None:
                self.swarm_child.ready()

        def bucket_for_task(self, type: Any) -> Any:  # noqa: A002 - Celery's name
            from celery.utils.time import rate  # late: as above

            limit: Any = getattr(type, "rate_limit", None)
            per_s = rate(limit)
            if not per_s or self.swarm_child is None:
                return super().bucket_for_task(type)
            return self.swarm_child.bucket(type, per_s)

    ChildConsumer.Blueprint = Blueprint
    return ChildConsumer


def _stop() -> None:
    if worker_state.should_stop is None:
        _WORKER_STATE.should_stop = 0


def _reset_state() -> None:
    """Forget what the parent shows of its children; what was revoked stays known."""
    for known in ("requests", "reserved_requests", "active_requests", "successful_requests", "total_count"):
        getattr(worker_state, known).clear()
    worker_state.all_total_count[:] = [0]
