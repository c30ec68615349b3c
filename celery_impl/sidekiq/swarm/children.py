"""The children of one worker as their parent sees them: it forks, watches limits and deals with deaths.

What a death means for the jobs of the child:

1. the job that the slot names, if the broker no longer has it: done;
2. that job, if its hard time limit is over: reported and buried, as in prefork;
3. that job, if its end was asked for (`revoke(terminate=True)`): whoever asked has reported it;
4. that job otherwise: the process was lost. Celery's rules for that hold, and ours: a job that has killed
   three goes to the dead set;
5. those before it, if the broker has them: they have run, and what said so did not get there. They go back;
6. those after it never began, and go back to the front of their queue as if they had never been fetched.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

from billiard import get_context
from billiard.einfo import ExceptionInfo
from celery.exceptions import TimeLimitExceeded, WorkerLostError
from celery.worker import state as worker_state

from celery_impl.sidekiq.lease.holder import AWAY
from celery_impl.sidekiq.swarm.child import BLOCKED, Child
from celery_impl.sidekiq.swarm.held_jobs import HeldJobs
from celery_impl.sidekiq.swarm.messages import Line
from celery_impl.sidekiq.swarm.rate_limits import BucketTable
from celery_impl.sidekiq.swarm.slots import NONE, Run, Slot
from celery_impl.sidekiq.worker import heartbeat

#: Seconds between two looks at the time limits.
LOOK_S: Final = 0.05
#: Children that may end before they fetch, and the seconds in which, until the worker gives up.
BUDGET: Final = 5
BUDGET_S: Final = 60.0
#: Deaths, and the seconds in which, after which the next child has to wait.
DEATHS: Final = 20
DEATHS_S: Final = 10.0

logger = logging.getLogger(__name__)


class ChildProcess:
    """One child: its process, its slot, the line to it, and what the parent has done to its job."""

    def __init__(self, process: Any, slot: Slot, line: Line, index: int) -> None:
        self.process = process
        self.slot = slot
        self.line = line
        self.index = index
        self.pid: int = process.pid
        #: Whether it was told to stop.
        self.stopping = False
        #: The numbers of the jobs that it was interrupted in, and killed for.
        self.interrupted = self.overdue = NONE

    @property
    def run(self) -> Run | None:
        """The job that it runs."""
        return self.slot.run()

    def send(self, number: int) -> None:
        """Send a signal; a process that has ended gets none."""
        if self.process.exitcode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def stop(self) -> None:
        """Have it stop after its job."""
        self.stopping = True
        self.send(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self.stopping = True
        self.send(signal.SIGKILL)


class Children:
    """The children of a worker; `worker` is Celery's, `held` the parent's way to the broker."""

    def __init__(self, worker: Any, pool: Any) -> None:
        self._worker = worker
        self._pool = pool
        names = sorted(worker.app.tasks)
        self._names = names
        self._buckets = BucketTable(names)
        self.held = HeldJobs(worker.app, self._holders)
        self.alive: list[ChildProcess] = []
        #: Those that have ended, and whose jobs are not dealt with yet.
        self.ended: list[ChildProcess] = []
        #: The jobs of each task that children which have ended had begun.
        self.past: Counter[str] = Counter()
        self._early_ends: deque[float] = deque(maxlen=BUDGET)
        self._deaths: deque[float] = deque(maxlen=DEATHS)
        self._watch = threading.Thread(target=self._watch_limits, name="swarm-limits", daemon=True)
        self._has_stopped = threading.Event()

    def start(self) -> None:
        """Begin to watch, and to renew leases. No process yet."""
        self.held.start()
        self._watch.start()

    def close(self) -> None:
        """End what `start` began."""
        self._has_stopped.set()
        self.held.stop()

    def fork(self) -> None:
        """Start one child."""
        taken = {child.index for child in self.alive}
        index = next(at for at in range(len(taken) + 1) if at not in taken)
        slot = Slot(self._names)
        ours, theirs = socket.socketpair()
        inherited = [ours, *(child.line.socket for child in (*self.alive, *self.ended))]
        child = Child(self._worker, slot, self._buckets, inherited=inherited)
        context: Any = get_context("fork")
        process = context.Process(target=child.run, args=(theirs,))
        process.name = f"SwarmWorker-{index + 1}"
        process.daemon = True
        process.index = index
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED)
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED)
            theirs.close()
        self.alive.append(ChildProcess(process, slot, Line(ours), index))

    def reap(self) -> bool:
        """Deal with those that have ended; return False where too many do so before they fetch."""
        for child in [child for child in self.alive if child.process.exitcode is not None]:
            self.alive.remove(child)
            self.ended.append(child)
            child.line.close()
            self._tell_of_end(child)
        for child in tuple(self.ended):
            try:
                self._settle(child)
            except AWAY:
                break  # with the next look; the leases are renewed meanwhile
            self.ended.remove(child)
            self.past.update(child.slot.counts())
            heartbeat.add_failures(child.slot.failures)
        now = time.monotonic()
        return len(self._early_ends) < BUDGET or now - self._early_ends[0] > BUDGET_S

    def may_fork(self) -> bool:
        """Return whether another child may be forked now: not where they die one after the other."""
        return len(self._deaths) < DEATHS or time.monotonic() - self._deaths[0] > DEATHS_S

    def counts(self) -> Counter[str]:
        """Return how many jobs of each task have begun."""
        found = Counter(self.past)
        for child in (*self.alive, *self.ended):
            found.update(child.slot.counts())
        return found

    def _tell_of_end(self, child: ChildProcess) -> None:
        code = child.process.exitcode
        if code and not child.stopping:
            self._deaths.append(time.monotonic())
        if not child.slot.ready and code and not child.stopping:
            self._early_ends.append(time.monotonic())
            logger.error("process %d ended with code %s before it fetched a job", child.pid, code)
        elif code and not child.stopping:
            logger.error("process %d ended with code %s", child.pid, code)

    def _holders(self) -> list[str]:
        return [name for child in (*self.alive, *self.ended) if (name := child.slot.holder)]

    def _settle(self, child: ChildProcess) -> None:
        holder, run = child.slot.holder, child.run
        held = self.held.all_of(holder)
        entry = held.pop(run.number, None) if run is not None else None
        begun = child.slot.begun
        for began in (False, True):  # in this order: those that began end up in front
            if numbers := [number for number in held if (number <= begun) is began]:
                self.held.give_back(holder, numbers, began=began)
        if run is not None and (entry is not None or run.copy):
            self._settle_run(child, run, entry)
        if holder:
            self.held.forget(holder)

    def _settle_run(self, child: ChildProcess, run: Run, entry: bytes | None) -> None:
        holder = child.slot.holder
        asked_for = run.number == child.slot.terminated
        if asked_for or worker_state.should_terminate:
            if entry is not None:
                self.held.give_back(holder, [run.number], began=True)
            return
        request = self._pool.node.request(child, run, entry or run.copy)
        if request is None:
            return
        try:
            if run.number == child.overdue:
                request.on_failure(_info(TimeLimitExceeded(run.hard)))
                request.on_timeout(soft=False, timeout=run.hard)
            else:
                code = child.process.exitcode
                request.on_failure(_info(WorkerLostError(f"its process {child.pid} ended: exit code {code}")))
        except AWAY:
            raise
        except Exception:
            logger.exception("could not deal with job %s of process %d", request.id, child.pid)
            if entry is not None:
                self.held.give_back(holder, [run.number], began=True)

    def _watch_limits(self) -> None:
        while not self._has_stopped.wait(LOOK_S):
            now = time.monotonic()
            for child, run in tuple(self._running()):
                spent = now - run.started
                if run.hard and spent >= run.hard:
                    if child.overdue != run.number:
                        child.overdue = run.number
                        child.send(signal.SIGKILL)
                elif run.soft and spent >= run.soft and child.interrupted != run.number:
                    child.interrupted = run.number
                    child.send(signal.SIGUSR1)

    def _running(self) -> Iterator[tuple[ChildProcess, Run]]:
        for child in tuple(self.alive):
            if (run := child.run) is not None and (run.soft or run.hard):
                yield child, run


def _info(error: Exception) -> Any:
    try:
        raise error
    except type(error):
        return ExceptionInfo()
