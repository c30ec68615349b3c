"""TaskSupervisor: children that are started at run time, one by one, each a function to run.

1. `start_child` puts the child in a line and returns; the loop starts the line's children in
   its next turn, STARTS_PER_TURN at most, so that a burst neither blocks its caller nor the loop.
2. A child that ends is dealt with as `exits` says, by its restart value: temporary (default),
   transient or permanent.
3. All children share one restart window, OTP's 3 in 5 s. When it runs out, the supervisor logs
   that, stops the other children and exits with reason shutdown; its parent restarts it only
   if it is permanent. The other children's work is lost with it.
4. A child may have a window of its own (`intensity=`): then its crashes do not count in the
   shared window, and when its own runs out only that child ends, with a crash log and a call
   of `on_give_up(child, error)`. The price: nothing escalates. If every child fails because
   the same thing is broken, each burns its own budget and nobody restarts what they share.
5. A child may wait before its restarts (`backoff=`). It is held in memory meanwhile, still
   counts as a child, and is lost if the process ends. A restart is counted when the child
   crashed, not when its wait is over.

Differences from OTP: a child cannot be killed. At its limit a task is cancelled once more and,
if it ignores that too, abandoned and reported. Arguments are passed by reference.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar, Self, TypeVar, TypeVarTuple, get_args

from inprocess.supervision.child import Child, Retry
from inprocess.supervision.clock import Clock
from inprocess.supervision.errors import Refused
from inprocess.supervision.exits import SHUTDOWN, Exit, Restart, restarts
from inprocess.supervision.process import KILL_WAIT_S, SHUTDOWN_S, Process, ShutdownLimit, ended_within, log
from inprocess.supervision.restarts import (
    MAX_RESTARTS,
    MAX_SECONDS,
    Backoff,
    RestartIntensity,
    RestartWindow,
)
from inprocess.supervision.threads import hop

#: Children that one turn of the loop starts; the rest of the line waits for the next turn.
STARTS_PER_TURN = 200

Ts = TypeVarTuple("Ts")
T = TypeVar("T")

_RESTARTS = frozenset(get_args(Restart))


class TaskSupervisor(Process):
    """Starts and restarts functions; see the module for what it promises. Made by `start`."""

    __slots__ = (
        "_children",
        "_intensity",
        "_max_children",
        "_refusal",
        "_starting",
        "_stopping",
        "_window",
    )

    shutdown_limit: ClassVar[ShutdownLimit] = "infinity"  # bounded by the children's own limits

    def __init__(self, intensity: RestartIntensity, max_children: float) -> None:
        super().__init__()
        self._intensity = intensity
        self._window = RestartWindow(intensity)
        self._max_children = max_children
        self._children: dict[Child, None] = {}
        self._starting: deque[Child] = deque()
        self._refusal: Refused | None = None
        self._stopping: asyncio.Task[None] | None = None

    @classmethod
    def start(
        cls,
        *,
        name: str | None = None,
        max_children: float = math.inf,
        max_restarts: int = MAX_RESTARTS,
        max_seconds: float = MAX_SECONDS,
        clock: Clock | None = None,
    ) -> Self:
        """Start a supervisor on the running loop; raise AlreadyStartedError where the name is taken."""
        supervisor = cls(RestartIntensity(max_restarts, max_seconds), max_children)
        supervisor._bind(name, clock)
        return supervisor

    def start_child(
        self,
        function: Callable[[*Ts], object],
        *args: *Ts,
        restart: Restart = "temporary",
        shutdown: ShutdownLimit = SHUTDOWN_S,
        name: str | None = None,
        intensity: RestartIntensity | None = None,
        backoff: Backoff | None = None,
        on_give_up: Callable[[Child, BaseException | None], object] | None = None,
    ) -> Child | Refused:
        """Start `function(*args)` under supervision and return its handle, at once.

        An async function runs on the supervisor's loop, a plain one in a thread. `shutdown` is
        seconds from cancellation to abandonment, "brutal_kill" or "infinity". Refused is
        returned past `max_children`, while draining and after the end. Callable from any
        thread; another thread waits for the loop's next turn.
        """
        if not self.is_here:
            options = {
                "restart": restart,
                "shutdown": shutdown,
                "name": name,
                "intensity": intensity,
                "backoff": backoff,
                "on_give_up": on_give_up,
            }
            return self.atomically(partial(self.start_child, function, *args, **options))  # type: ignore[arg-type]  # as they came
        if restart not in _RESTARTS:
            raise ValueError(f"restart is {restart!r}: expected one of {', '.join(sorted(_RESTARTS))}")
        if intensity is None and backoff is None and on_give_up is None:
            retry = None
        else:
            retry = Retry(intensity, backoff, on_give_up)
        return self.add(Child(self, function, args, name, restart, shutdown, retry))

    def add(self, child: Child) -> Child | Refused:
        """Put a child in the line, or refuse it. Loop's thread only; for `start_child` and `Task.start`."""
        if self._refusal is not None:
            return self._refusal
        if len(self._children) >= self._max_children:
            return self._full()
        self._children[child] = None
        starting = self._starting
        starting.append(child)
        if len(starting) == 1:
            self.loop.call_soon(self._start_waiting)
        return child

    def atomically(self, function: Callable[[], T]) -> T | Refused:
        """Run a short function on the loop's thread, in one turn, and return its result. Any thread.

        Refused is returned where the loop does not answer; then the function never runs.
        """
        if self.is_here:
            return function()
        try:
            return hop(self.loop, function)
        except TimeoutError as error:
            return Refused("no_answer", f"{self.name}: {error}; try again when the loop is free")
        except RuntimeError as error:
            return Refused("not_running", f"{self.name}: {error}")

    def children(self) -> list[Child]:
        """Every child that has not ended: waiting, running or backing off, in the order of their start."""
        return list(self._children)

    @property
    def count(self) -> int:
        """How many children have not ended."""
        return len(self._children)

    async def terminate_child(self, child: Child) -> bool:
        """End a child for good and wait for it, within its shutdown limit; False where it is not ours."""
        if child not in self._children:
            return False
        child.ask()
        await self._ensure_ended(child, child.shutdown_limit)
        return True

    def exited(self, child: Child, ended: Exit) -> None:
        """Deal with the end of an attempt. Called by the child."""
        if ended.kind == "crash":
            _log_crash(self, child, ended)
        if child.asked or not restarts(child.restart, ended):
            self._remove(child, ended)
        else:
            self._restart(child, ended)

    def quiet(self) -> None:
        """Refuse new children from now on; those there are go on, restarts included."""
        if self._refusal is None:
            text = f"{self.name} is draining: the app is shutting down and takes no new work"
            self._refusal = Refused("draining", text)

    async def idle(self) -> None:
        """Wait until there is no child."""
        while self._children:
            await next(iter(self._children)).wait()

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

    def _full(self) -> Refused:
        text = f"{self.name} has {self.count} children, its max_children: try again later, or raise the bound"
        return Refused("max_children", text)

    def _start_waiting(self) -> None:
        starting = self._starting
        for _ in range(min(len(starting), STARTS_PER_TURN)):
            starting.popleft().run()
        if starting:
            self.loop.call_soon(self._start_waiting)

    def _restart(self, child: Child, ended: Exit) -> None:
        now = self.clock.monotonic()
        retry = child.retry
        own = None if retry is None else retry.window
        if (own or self._window).allows(now):
            child.run_later(0.0 if retry is None else retry.delay(now))
            return
        self._remove(child, ended)
        if own is None:
            self._give_up(child)
        else:
            _give_up_child(self, child, ended)

    def _give_up(self, child: Child) -> None:
        log.error(
            "%s reached its restart intensity, more than %d restarts in %g s, with %s: it stops its other "
            "%d children and exits. Give children a window of their own (intensity=) to keep them apart",
            self.name,
            self._intensity.max_restarts,
            self._intensity.max_seconds,
            child.describe(),
            self.count,
        )
        self._begin_stop(brutally=False)

    def _remove(self, child: Child, ended: Exit) -> None:
        self._children.pop(child, None)
        child.finish(ended)

    def _begin_stop(self, *, brutally: bool) -> None:
        self._refusal = Refused("not_running", f"{self.name} has ended")
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
        if not await ended_within(self.clock, child, KILL_WAIT_S):
            child.abandon()


def _log_crash(supervisor: TaskSupervisor, child: Child, ended: Exit) -> None:
    asker = "" if child.asker is None else f", asked for by {child.asked_for_by}"
    log.error(
        "%s under %s crashed in attempt %d: %s%s",
        child.describe(),
        supervisor.name,
        child.attempt,
        ended,
        asker,
        exc_info=None if isinstance(ended.error, asyncio.CancelledError) else ended.error,
    )


def _give_up_child(supervisor: TaskSupervisor, child: Child, ended: Exit) -> None:
    log.error(
        "%s under %s was given up after %d attempts: its own restart intensity is reached. Last exit: %s",
        child.describe(),
        supervisor.name,
        child.attempt,
        ended,
    )
    if child.retry is not None and child.retry.on_give_up is not None:
        try:
            child.retry.on_give_up(child, ended.error)
        except Exception:  # noqa: BLE001 - a hook must not end the supervisor
            log.exception("on_give_up of %s failed", child.name)
