"""The pool of a worker: Celery's interface to a TaskSupervisor.

At most `limit` tasks run in threads at once and MAX_COROUTINES on the loop. The worker takes no more messages
than there are free slots. Tasks that arrive in another way (an ETA that is due, a rate limit that lets a task
through) wait in a queue of the pool for a slot; whether they have expired is checked when they get it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, Final

from kombu.utils.uuid import uuid

from inprocess.celery.broker.broker import LANES, Broker, Lane
from inprocess.celery.celery_internals.internals import BasePool, trace_task, trace_task_ret
from inprocess.celery.sending.plain_values import quick_repr
from inprocess.celery.worker.job import END_S, SHOWN, Job, JobChild
from inprocess.supervision.core.errors import Refused
from inprocess.supervision.core.exits import Restart
from inprocess.supervision.core.log import log
from inprocess.supervision.core.restarts import RestartIntensity
from inprocess.supervision.tasks.child_options import Options, options_of
from inprocess.supervision.tasks.task_supervisor import TaskSupervisor

#: Coroutine tasks that run on the loop at once.
MAX_COROUTINES: Final = 1000
#: The restart window of one run of a task with a restart value.
WINDOW: Final = RestartIntensity()


class Tasks(TaskSupervisor):
    """The supervisor of running tasks: it goes on starting them while the worker drains its queues."""

    __slots__ = ()

    def quiet(self) -> None:
        """Refuse nothing: the worker decides what still runs."""


class TaskPool(BasePool):  # type: ignore[misc]  # see internals
    """See the module. Loop's thread only, except `aftermath` and `on_loop`."""

    task_join_will_block = False  # `join_flag` decides that for each caller
    body_can_be_buffer = True

    def __init__(
        self,
        limit: int | None = None,
        *,
        supervisor: Tasks,
        broker: Broker,
        freed: Callable[[], object],
        hostname: str,
        **options: Any,
    ) -> None:
        super().__init__(limit, **options)
        self._hostname = hostname
        self.supervisor = supervisor
        self._broker = broker
        self._lane_of = broker.lane_of
        #: The delivery whose request is being executed now.
        self._tag = 0
        self._freed = freed
        self._limits: dict[Lane, int] = {"thread": limit or 1, "loop": MAX_COROUTINES}
        self._running: dict[Lane, int] = dict.fromkeys(LANES, 0)
        self._line: dict[Lane, deque[Any]] = {lane: deque() for lane in LANES}
        self._options: dict[str, Options] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def free(self, lane: Lane) -> int:
        """Return how many messages of a lane may be taken now."""
        return self._limits[lane] - self._running[lane] - len(self._line[lane])

    def admit(self, request: Any, execute: Callable[[Any], object]) -> None:
        """Execute a request now, or when a slot is free."""
        lane = self._lane_of(request.task.name)
        if self._running[lane] < self._limits[lane]:
            self._execute(request, execute)
        else:
            self._line[lane].append((request, execute))

    def _execute(self, request: Any, execute: Callable[[Any], object]) -> None:
        self._tag = request.message.delivery_tag
        try:
            execute(request)
        finally:
            self._tag = 0

    def waiting(self) -> list[Any]:
        """Return the requests that wait for a slot."""
        return [request for line in self._line.values() for request, _ in line]

    def on_apply(self, target: Callable[..., Any], args: Any, kwargs: Any, **on: Any) -> None:
        """Run a task. Called by Celery's request; a task's own strategy may give any other function."""
        on["timeout"] = on.get("timeout") or self.options.get("timeout")
        on["soft_timeout"] = on.get("soft_timeout") or self.options.get("soft_timeout")
        if target is trace_task_ret:
            job = Job(self, partial(self._traced, *args), args, on)
            lane = self._lane_of(job.task)
        else:
            name = getattr(target, "__qualname__", repr(target))
            call = partial(target, *args, **(kwargs or {}))
            job = Job(self, call, (name, uuid(), {"task": name, "argsrepr": quick_repr(args, SHOWN)}), on)
            lane = "thread"
        function = job.run_on_loop if lane == "loop" else job.run_in_thread
        job.tag = self._tag
        self._broker.begins(job.tag, partial(_runs_on, job))
        child = self.supervisor.take(function, (), self._options_of(job.task), JobChild)
        if isinstance(child, Refused):
            log.error("%s was not started: %s", job.task, child)
            self._broker.over(job.tag)
            return
        child.job, job.child = job, child
        self._running[lane] += 1
        child.monitor(partial(self._ended, job, lane))

    def _traced(self, name: str, task_id: str, request: dict[str, Any], body: Any, *_: Any) -> Any:
        """As Celery's function, which gives requests the host's name in place of the worker's."""
        args, kwargs, embed = body  # the consumer has decoded it
        request.update(
            {"args": args, "kwargs": kwargs, "hostname": self._hostname, "is_eager": False}, **embed or {}
        )
        value, failed, runtime, shown = trace_task(
            self.app.tasks[name], task_id, args, kwargs, request, app=self.app
        )
        return (1, value, runtime) if failed else (0, shown, runtime)

    def terminate_job(self, pid: Any, signal: int | None = None) -> None:  # noqa: ARG002 - Celery's signature
        """End a running task: `revoke(terminate=True)`. No signal reaches a thread or a coroutine."""
        pid.job.end()

    def grow(self, n: int = 1) -> None:
        """Run `n` more tasks at once in threads."""
        self.limit = self._limits["thread"] = self._limits["thread"] + n
        self._freed()

    def shrink(self, n: int = 1) -> None:
        """Run `n` fewer tasks at once in threads; running ones are finished. At least one stays."""
        self.limit = self._limits["thread"] = max(1, self._limits["thread"] - n)

    def end(self, child: JobChild) -> None:
        """End a child, within END_S."""
        task = asyncio.get_running_loop().create_task(self.supervisor.end_child(child, END_S))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    def aftermath(self, report: Callable[[], object]) -> None:
        """Run a report to Celery in a thread: errbacks are code of the app."""
        self.supervisor.start_child(report)

    def written(self, tag: int) -> Future[bool] | None:
        """See `Broker.written`."""
        return self._broker.written(tag)

    def on_loop(self, function: Callable[[], object]) -> None:
        """Call a function on the loop's thread, soon."""
        self.supervisor.loop.call_soon_threadsafe(function)

    def _ended(self, job: Job, lane: Lane, ended: Any) -> None:
        self._running[lane] -= 1
        job.ended(ended)
        self._broker.over(job.tag)
        line = self._line[lane]
        while line and self._running[lane] < self._limits[lane]:
            self._execute(*line.popleft())
        self._freed()

    def _options_of(self, name: str) -> Options:
        known = self._options.get(name)
        if known is None:
            restart: Restart = getattr(self.app.tasks.get(name), "restart", None) or "temporary"
            known = self._options[name] = options_of(restart, {"name": name, "intensity": WINDOW})
        return known

    def _get_info(self) -> dict[str, Any]:
        return {**super()._get_info(), "running": dict(self._running), "supervisor": self.supervisor.name}


def _runs_on(job: Job) -> bool:
    """Whether a job that was told to end does not."""
    return job.child is not None and job.child.state == "abandoned"
