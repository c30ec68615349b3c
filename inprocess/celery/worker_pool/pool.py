"""The pool that `celery worker -P aio` names.

`-c` bounds the tasks that run at once, coroutine tasks on the loop and plain tasks in threads together. What
the worker has fetched beyond that waits in a line of the pool, unaccepted, and is looked at for a revocation
or an expiry when its turn comes. Everything that Celery hears happens on the worker's own thread.
"""

from __future__ import annotations

import gc
import logging
import select
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

import click
from celery import signals

from inprocess.celery.celery_internals.internals import BasePool, worker_state
from inprocess.celery.celery_internals.request_identity import follow, task_stack_patch
from inprocess.celery.worker_pool.job import PoolJob
from inprocess.celery.worker_pool.loop_thread import LoopThread

#: What Celery's request has the pool call, and the names of its arguments and callbacks.
Target = Callable[..., Any]
Options = dict[str, Any]
#: Seconds that a cold shutdown waits for cancelled coroutines.
COLD_S: Final = 1.0
#: Seconds between two looks at what ended while the pool stops.
LOOK_S: Final = 0.5

logger = logging.getLogger("celery.pool")


class WorkerPoolError(click.ClickException):
    """The pool cannot run here; the text says why and what to do. The command ends with code 1."""


class TaskPool(BasePool):  # type: ignore[misc]  # see internals
    """See the module. Made and called by Celery's worker; raise WorkerPoolError where it cannot run."""

    body_can_be_buffer = True
    signal_safe = False

    def __init__(
        self, *args: Any, threads: bool = False, initargs: Any = (None, None), **options: Any
    ) -> None:
        if threads:
            raise WorkerPoolError(
                "-P aio needs a broker that Celery reads by an event loop: redis://, lease+redis:// or "
                "amqp://. Use -P threads with this one."
            )
        try:
            import greenlet  # type: ignore[import-untyped]  # noqa: F401 - an extra, and this is the place to say so
        except ImportError as error:
            raise WorkerPoolError("-P aio needs greenlet: pip install greenlet") from error
        super().__init__(*args, **options)
        self.limit: int
        self.threads: LoopThread
        self._hostname = initargs[1]
        self._running: set[PoolJob] = set()
        self._line: deque[Callable[[], None]] = deque()
        self._serves_line = False
        self._has_ended = False
        self._coroutines: dict[str, bool] = {}

    def on_start(self) -> None:
        """Start the loop and prepare the app's coroutine tasks, before Celery builds their tracers."""
        self.threads = LoopThread()
        self._executor = ThreadPoolExecutor(self.limit, thread_name_prefix="celery-aio")
        self._stack_patch = task_stack_patch.held()
        self._stack_patch.__enter__()
        for task in self.app.tasks.values():
            self._prepare(task)
        self.threads.start()
        gc.freeze()  # hundreds of jobs at once mean many full collections: only what jobs make is looked at
        signals.worker_process_init.send(sender=self._hostname)

    def register_with_event_loop(self, hub: Any) -> None:
        """Have the worker's event loop read the way back. Called at each connection to the broker."""
        hub.add_reader(self.threads.fd, self.threads.run_worker_calls)

    def on_apply(self, target: Target, args: Any = (), kwargs: Any = None, **on: Any) -> None:
        """Run a task, or let it wait for a slot. Called by Celery's request."""
        if len(self._running) < self.limit and not _is_stopping():
            self._begin(target, args, kwargs or {}, on)
        else:
            self._line.append(partial(self._begin_unless_revoked, target, args, kwargs or {}, on))

    def ended(self, job: PoolJob) -> None:
        """Give the job's slot to the next one that waits."""
        self._running.discard(job)
        self._serve_line()

    def terminate_job(self, pid: Any, signal: int | None = None) -> None:  # noqa: ARG002 - Celery's signature
        """End a running task: `revoke(terminate=True)`. No signal reaches a thread or a coroutine."""
        pid.job.end()

    def grow(self, n: int = 1) -> None:
        """Run `n` more tasks at once."""
        self.limit += n
        self._executor._max_workers = self.limit  # noqa: SLF001 - it has no other way, and a test holds it
        self._serve_line()

    def shrink(self, n: int = 1) -> None:
        """Run `n` fewer tasks at once; running ones are finished. At least one stays."""
        self.limit = max(1, self.limit - n)

    def flush(self) -> None:
        """Start what has begun, and no more: with the connection, what waits goes back to the broker."""
        self._line.clear()
        if not self._has_ended:
            self.threads.wake_loop()

    def on_close(self) -> None:
        """Begin no more: what waits goes back to the broker with the connection."""
        self._line.clear()

    def on_stop(self) -> None:
        """Wait for what runs: a warm shutdown. The worker's event loop turns no more."""
        self._line.clear()
        while self._running:
            select.select([self.threads.fd], [], [], LOOK_S)
            self.threads.run_worker_calls()
        self._end()

    def on_terminate(self) -> None:
        """Cancel what runs: a cold shutdown. It is not acknowledged."""
        self._line.clear()
        self._end()

    def _end(self) -> None:
        if self._has_ended:  # a cold shutdown stops the pool, then terminates it
            return
        self._has_ended = True
        self._executor.shutdown(wait=False, cancel_futures=True)
        if not self.threads.stop(COLD_S):
            logger.warning("-P aio: a coroutine blocks the event loop and is abandoned")
        self._stack_patch.__exit__(None, None, None)
        gc.unfreeze()
        signals.worker_process_shutdown.send(sender=self._hostname)

    def _begin(self, target: Target, args: Any, kwargs: Options, on: Options) -> None:
        task = args[0] if args and isinstance(args[0], str) else None
        name = f"{task}[{args[1]}]" if task else getattr(target, "__qualname__", repr(target))
        on["timeout"] = on.get("timeout") or self.options.get("timeout")
        on["soft_timeout"] = on.get("soft_timeout") or self.options.get("soft_timeout")
        job = PoolJob(self, name, partial(target, *args, **kwargs), on)
        self._running.add(job)
        try:
            if task and self._coroutines.get(task):
                job.run_coroutine()
            else:
                job.run_in_thread(self._executor.submit)
        except BaseException:  # the broker is away, and the job was not accepted
            self._running.discard(job)
            raise

    def _begin_unless_revoked(self, target: Target, args: Any, kwargs: Options, on: Options) -> None:
        request: Any = getattr(on.get("accept_callback"), "__self__", None)
        if not hasattr(request, "revoked") or not request.revoked():
            self._begin(target, args, kwargs, on)

    def _serve_line(self) -> None:
        if self._serves_line:
            return  # a job that ended at once: the call below goes on with the line
        self._serves_line = True
        try:
            while self._line and len(self._running) < self.limit and not _is_stopping():
                self._line.popleft()()
        finally:
            self._serves_line = False

    def _prepare(self, task: Any) -> None:
        from inprocess.celery.worker.greenlet_bridge import (
            bridge,
            is_bridged,
            is_coroutine_task,  # late: greenlet is an extra, see `__init__`
        )

        follow(task.request_stack)
        self._coroutines[task.name] = is_coroutine_task(task)
        if self._coroutines[task.name] and not is_bridged(task):
            bridge(task)

    def _get_info(self) -> dict[str, Any]:
        return {
            **super()._get_info(),
            "running": len(self._running),
            "waiting": len(self._line),
            "threads": len(self._executor._threads),  # noqa: SLF001 - as Celery's own thread pool
        }


def _is_stopping() -> bool:
    """Whether the worker was told to stop: what has not begun goes back to the broker."""
    asked = worker_state.should_stop  # an exit code, 0 too
    return asked is not None and asked is not False
