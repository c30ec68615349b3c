"""The pool inside of a child: it runs one job at a time on the main thread, as Celery's solo pool does.

Around each job it writes the slot, so that the parent sees what runs, for how long it may, and what to do if
the process dies. A job that ends by something else than an Exception ends the process, as in prefork: the
parent deals with the job.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
import time
from collections.abc import Callable
from typing import Any, Final

from celery.concurrency import solo
from celery.exceptions import SoftTimeLimitExceeded
from kombu.utils.json import dumps

from celery_impl.sidekiq.swarm.slots import Slot
from celery_impl.sidekiq.worker import heartbeat

_Solo: Final[Any] = solo.TaskPool

logger = logging.getLogger("celery.pool")

#: Bytes in the unit of `ru_maxrss`, and of the option.
KIB: Final = 1024


class ChildPool(_Solo):  # type: ignore[misc] # as little as the stubs say of it
    """See the module. `die(code)` ends the process, `retire(why)` has it stop in good order."""

    body_can_be_buffer = True

    def __init__(
        self,
        slot: Slot,
        *,
        die: Callable[[int], object],
        retire: Callable[[], object],
        flush_events: Callable[[], object],
        **options: Any,
    ) -> None:
        super(_Solo, self).__init__(1, **options)  # not solo's own, which sends worker_process_init
        self._slot = slot
        self._die = die
        self._retire = retire
        self._flush_events = flush_events
        self._pid = os.getpid()
        self._may_be_interrupted = False
        self._interrupted: float | None = None
        self._limits = tuple(self.options.get(name) or 0.0 for name in ("soft_timeout", "timeout"))
        self._runs_left = self.options.get("maxtasksperchild") or 0
        self._memory_kib = self.options.get("max_memory_per_child") or 0

    def interrupt(self, *_: object) -> None:
        """End the job by SoftTimeLimitExceeded, if its soft limit is over. The handler of USR1."""
        run = self._slot.run() if self._may_be_interrupted else None
        if run is not None and run.soft and time.monotonic() - run.started >= run.soft:
            self._may_be_interrupted = False
            self._interrupted = run.soft
            raise SoftTimeLimitExceeded(run.soft)

    def end_job(self) -> bool:
        """End the job by SystemExit if the parent asked for that; return False otherwise. At TERM."""
        run = self._slot.run() if self._may_be_interrupted else None
        if run is None or run.number != self._slot.terminated:
            return False
        raise SystemExit(-(256 - signal.SIGTERM))

    def apply_async(
        self,
        target: Callable[..., Any],
        args: Any = (),
        kwargs: Any = None,
        *,
        accept_callback: Any = None,
        callback: Any = None,
        timeout_callback: Any = None,
        **_: Any,
    ) -> None:
        """Run a job. Called by Celery's request, which knows the limits that its task had at the start."""
        request = accept_callback.__self__
        number = int(request.message.delivery_tag.rpartition(":")[2])
        hard, soft = request.time_limits
        hard, soft = hard or request.task.time_limit, soft or request.task.soft_time_limit
        soft, hard = soft or self._limits[0], hard or self._limits[1]
        copy = b"" if request.task.acks_late else b"\n" + dumps(request.message._raw).encode()  # noqa: SLF001 - pinned by a test
        started = time.monotonic()
        self._slot.begin(number, started, soft=soft, hard=hard, copy=copy)
        self._slot.count(request.type)
        accept_callback(self._pid, started)
        self._flush_events()
        self._may_be_interrupted = True
        try:
            outcome = target(*args, **(kwargs or {}))
        except BaseException as error:
            self._may_be_interrupted = False
            logger.error("process %d ends with job %s: %r", self._pid, request.id, error)  # noqa: TRY400 - the job's own end
            code = error.code if isinstance(error, SystemExit) else os.EX_SOFTWARE
            self._die(code if isinstance(code, int) and code else os.EX_SOFTWARE)
            raise
        self._may_be_interrupted = False
        if self._interrupted is not None:
            limit, self._interrupted = self._interrupted, None
            timeout_callback(soft=True, timeout=limit)
        callback(outcome)
        self._slot.end(number)
        self._slot.failures = heartbeat.failures()
        self._look_at_limits()

    def _look_at_limits(self) -> None:
        if self._runs_left:
            self._runs_left -= 1
            if not self._runs_left:
                self._retire()
        if self._memory_kib:
            used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            if used > self._memory_kib:
                logger.warning(
                    "process %d ends: it uses %d KiB, and may use %d", self._pid, used, self._memory_kib
                )
                self._memory_kib = 0
                self._retire()

    def _get_info(self) -> dict[str, Any]:
        return {**super()._get_info(), "processes": [self._pid]}
