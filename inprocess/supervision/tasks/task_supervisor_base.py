"""TaskParent: what a TaskSupervisor does with its children once they are its own.

Children stand in a line until the loop's next turn; then up to STARTS_PER_TURN of them begin,
for no longer than the scheduler's slice, and the rest waits for another turn. So few asyncio
tasks are alive at once: 100,000 live tasks cost more than 100,000 tasks.

Where attempts cannot begin at once (see `child`), a task has its first step in the turn after
the one that made it, and the child looks at it in that turn's end: no callback of the loop is
spent on work that is done in one step.

Loop's thread only, but for `children` and `count`.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextvars import Context, copy_context
from time import perf_counter
from typing import Any, ClassVar, Final, TypeVar

from inprocess.supervision.core.errors import Refused
from inprocess.supervision.core.exits import NORMAL, SHUTDOWN, Exit, restarts
from inprocess.supervision.core.process import KILL_WAIT_S, BaseProcess, ShutdownLimit, ended_within
from inprocess.supervision.core.restarts import RestartIntensity, RestartWindow
from inprocess.supervision.core.scheduler import SLICE_S
from inprocess.supervision.tasks import child_report
from inprocess.supervision.tasks.child import EAGER, Child
from inprocess.supervision.tasks.child_options import Options

#: Children that one turn of the loop starts; the rest of the line waits for the next turn.
STARTS_PER_TURN: Final = 200
#: Children that are started between two looks at the time.
STARTS_PER_LOOK: Final = 8

C = TypeVar("C", bound=Child)


class TaskParent(BaseProcess):
    """Base of TaskSupervisor; see the module."""

    __slots__ = (
        "_begun", "_children", "_intensity", "_is_awake", "_is_open", "_line", "_max_children", "_refusal",
        "_stopping", "_taken_back", "_window", "restarts",
    )  # fmt: skip

    shutdown_limit: ClassVar[ShutdownLimit] = "infinity"  # bounded by the children's own limits

    def __init__(self, intensity: RestartIntensity, max_children: float) -> None:
        super().__init__()
        self._intensity = intensity
        self._window = RestartWindow(intensity)
        self._max_children = max_children
        self._children: dict[Child, None] = {}  # those that have begun and not ended
        self._line: deque[Child] = deque()  # those that have not begun
        self._taken_back = 0  # those in the line that have ended
        self._begun: deque[Child] = deque()  # those whose task has not had its first step
        self._is_awake = False
        self._refusal: Refused | None = None
        self._is_open = max_children == math.inf
        self._stopping: asyncio.Task[None] | None = None
        #: Restarts of children since the start.
        self.restarts = 0

    def take(
        self,
        function: Callable[..., object],
        args: tuple[Any, ...],
        options: Options,
        kind: type[C],
    ) -> C | Refused:
        """Put a child in the line, or refuse it. Loop's thread only; what `start_child` and others end in."""
        if not self._is_open:
            refused = self._refused()
            if refused is not None:
                return refused
        child = kind()
        child.exit = child._monitors = child.task = child.past = None  # noqa: SLF001 - in place of its constructor
        child.supervisor = self
        child.function = function
        child.args = args
        child.options = options
        child.context = copy_context()
        self._line.append(child)
        if not self._is_awake:
            self._wake()
        return child

    async def terminate_child(self, child: Child) -> bool:
        """End a child for good and wait for it, within its shutdown limit; False where it is not ours."""
        if child.supervisor is not self or child.exit is not None:
            return False
        await self.end_child(child, child.shutdown_limit)
        return True

    async def end_child(self, child: Child, limit: ShutdownLimit) -> None:
        """End a child of ours for good, within this limit."""
        child.ask()
        await self._ensure_ended(child, limit)

    def exited(self, child: Child, ended: Exit) -> None:
        """Deal with the end of an attempt. Called by the child."""
        if ended is NORMAL and child.options.restart != "permanent":  # the hot path
            if self._children.pop(child, child) is not None:
                self._taken_back += 1
            child.finish(ended)
            return
        if ended.kind == "crash":
            child_report.crashed(self, child, ended)
        if child.asked or not restarts(child.restart, ended):
            self._remove(child, ended)
        else:
            self._restart(child, ended)

    def watch_soon(self, child: Child) -> None:
        """Have it look at its task after that had its first step. Called by the child."""
        self._begun.append(child)
        if not self._is_awake:
            self._wake()

    def eagerly(self) -> bool:
        """Whether attempts begin at once: this Python can do that, and the app makes no tasks of its own."""
        return EAGER and self.scheduler.loop.get_task_factory() is None

    def new_task(self, coroutine: Coroutine[Any, Any, object], context: Context) -> asyncio.Task[object]:
        """A task that begins in the loop's next turn."""
        loop = self.scheduler.loop
        if loop.get_task_factory() is None:  # then the loop's create_task does the same, but slowly
            return asyncio.Task(
                coroutine, loop=loop, context=context, name=getattr(coroutine, "__qualname__", None)
            )
        return loop.create_task(coroutine, context=context)

    def children(self) -> list[Child]:
        """Every child that has not ended: waiting, running or backing off, in the order of their start."""
        return [child for child in (*self._children, *self._line) if child.exit is None]

    @property
    def count(self) -> int:
        """How many children have not ended."""
        return len(self._children) + len(self._line) - self._taken_back

    def quiet(self) -> None:
        """Refuse new children from now on; those there are go on, restarts included."""
        if self._refusal is None:
            text = f"{self.name} is draining: the app is shutting down and takes no new work"
            self._refuse(Refused("draining", text))

    async def idle(self) -> None:
        """Wait until there is no child."""
        while self.count:
            last = self._line[-1] if self._line else next(reversed(self._children))
            await (last if last.exit is None else next(iter(self.children()))).wait()

    def held(self) -> Sequence[Child]:
        """As `children`."""
        return self.children()

    def shutdown(self) -> None:
        """Stop all children at once, each within its own limit, then exit with reason shutdown."""
        self._begin_stop(brutally=False)

    def kill(self) -> None:
        """As `shutdown`, without waiting for the children's limits."""
        if self._stopping is not None:
            self._stopping.cancel()
            self._stopping = None
        self._begin_stop(brutally=True)

    def _refuse(self, refusal: Refused) -> None:
        self._refusal = refusal
        self._is_open = False

    def _refused(self) -> Refused | None:
        if self._refusal is not None or self.count < self._max_children:
            return self._refusal
        text = f"{self.name} has {self.count} children, its max_children: try again later, or raise the bound"
        return Refused("max_children", text)

    def _wake(self) -> None:
        self._is_awake = True
        self.scheduler.soon(self._step)

    def _step(self) -> None:
        """Look at the tasks that began in the last turn; start some of the line."""
        begun, self._begun = self._begun, deque()
        try:
            while begun:
                begun.popleft().watch()
            self._start_some()
        finally:  # whatever a monitor of somebody's raises, the others are not forgotten
            self._begun += begun
            if self._line or self._begun:
                self.scheduler.soon(self._step)
            else:
                self._is_awake = False

    def _start_some(self) -> None:
        line, children = self._line, self._children
        eagerly = self.eagerly()
        end = perf_counter() + SLICE_S
        for started in range(1, min(len(line), STARTS_PER_TURN) + 1):
            child = line.popleft()
            if child.exit is None:
                children[child] = None
                child.run(eagerly=eagerly)
            else:
                self._taken_back -= 1
            if not started % STARTS_PER_LOOK and perf_counter() > end:
                break

    def _restart(self, child: Child, ended: Exit) -> None:
        now = self.scheduler.monotonic()
        past, options = child.remembered(), child.options
        own = options.intensity
        if (self._window if own is None else past.own_window(own)).allows(now):
            self.restarts += 1
            child.run_later(0.0 if options.backoff is None else past.delay(options.backoff, now))
            return
        self._remove(child, ended)
        if own is None:
            child_report.intensity_reached(self, child, self._intensity, self.count)
            self._begin_stop(brutally=False)
        else:
            child_report.given_up(self, child, ended)

    def _remove(self, child: Child, ended: Exit) -> None:
        if child.exit is None and self._children.pop(child, child) is child:
            self._taken_back += 1  # it is in the line
        child.finish(ended)

    def _begin_stop(self, *, brutally: bool) -> None:
        self._refuse(Refused("not_running", f"{self.name} has ended"))
        if self._stopping is None and self.exit is None:
            self._stopping = self.loop.create_task(self._stop(brutally=brutally))

    async def _stop(self, *, brutally: bool) -> None:
        children = self.children()[::-1]
        for child in children:
            child.ask()
        limits: list[ShutdownLimit] = [
            "brutal_kill" if brutally else child.shutdown_limit for child in children
        ]
        await asyncio.gather(*map(self._ensure_ended, children, limits))
        self._end(SHUTDOWN)

    async def _ensure_ended(self, child: Child, limit: ShutdownLimit) -> None:
        """The steps of `process`, for a child that was asked."""
        if limit != "brutal_kill":
            if await ended_within(self.clock, child, math.inf if limit == "infinity" else limit):
                return
            child.ask()
        elif child.runs_in != "loop":
            child.ask()  # twice is the kill, see `isolation.run`
        if not await ended_within(self.clock, child, KILL_WAIT_S):
            child.abandon()
