"""Leased: runs a process in one of several replicas, the one that holds the lease.

1. Every replica starts a Leased with the same lease, and tries to become the holder every `retry_s`.
2. The holder calls `start(token)`, which starts and returns a process: a Periodic, or a Supervisor over all
   that must not run twice. A run that a Periodic has started belongs to its TaskSupervisor, so start both
   below one Supervisor.
3. It renews the lease every third of `ttl_s`. A failed renewal is tried again.
4. If the lease is lost, or no renewal is confirmed for two thirds of `ttl_s`, it stops the process, which has
   the last third to end in, and becomes a candidate again.
5. At its own end it stops the process first and then releases the lease, so that another replica continues at
   once. If the process does not end, that is reported and the lease is not released: it expires.

A process that ends by itself ends the Leased with the same exit: the supervisor above restarts it or not,
and meanwhile another replica may take over. An `init` that fails is such an end; the lease is renewed
during `init`. OTP's nearest are the failover of distributed applications and `global:register_name`, both
over the nodes' own connections.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ClassVar, Final, Self, TypeVar

from inprocess.supervision.core.clock import Clock, settle
from inprocess.supervision.core.exits import SHUTDOWN, Exit, exit_of
from inprocess.supervision.core.log import log
from inprocess.supervision.core.process import (
    KILL_WAIT_S,
    BaseProcess,
    Held,
    Process,
    ShutdownLimit,
    abandon,
    ended_within,
)
from inprocess.supervision.leases.lease import Lease

#: Seconds between two attempts of a candidate.
RETRY_S: Final = 2.0
#: Seconds that giving the lease back may take at the end.
RELEASE_S: Final = 2.0
#: Renewals are `ttl_s` / PARTS apart, and the last such part is left for stopping.
PARTS: Final = 3

T = TypeVar("T")

StartProcess = Callable[[int], Process]


class Leased(BaseProcess):
    """See the module. Created by `start`, on the running loop."""

    __slots__ = ("_deadline", "_is_quiet", "_keeps", "_lease", "_retry_s", "_start", "_task", "_waiter",
                 "_wanted", "process", "token")  # fmt: skip

    shutdown_limit: ClassVar[ShutdownLimit] = "infinity"  # bounded by the lease's own deadline

    #: What it runs while it is the holder, else None.
    process: Process | None
    #: The fencing token while it is the holder, else None.
    token: int | None

    @classmethod
    def start(
        cls,
        start: StartProcess,
        lease: Lease,
        *,
        retry_s: float = RETRY_S,
        name: str | None = None,
        clock: Clock | None = None,
    ) -> Self:
        """Become a candidate, and return at once; raise AlreadyStartedError if the name is taken."""
        leased = cls()
        leased._begin(start, lease, retry_s, name, clock)
        return leased

    @property
    def is_holder(self) -> bool:
        """Whether this replica holds the lease, as far as it knows."""
        return self.token is not None

    def shutdown(self) -> None:
        """Stop the process, release the lease, end with reason shutdown."""
        self._wanted = True
        self._wake()

    def kill(self) -> None:
        """End the process without clean-up; the lease is released only if the process has ended."""
        if self.process is not None:
            self.process.__process__.kill()
        self._task.cancel()

    def quiet(self) -> None:
        """Do not become the holder any more; pass it on to the process."""
        self._is_quiet = True
        if self.process is not None:
            self.process.__process__.quiet()

    async def idle(self) -> None:
        """Wait until the process holds no work."""
        if self.process is not None:
            await self.process.__process__.idle()

    def held(self) -> Sequence[Held]:
        """Return the work that the process holds."""
        return () if self.process is None else self.process.__process__.held()

    def which_children(self) -> list[tuple[str, Process]]:
        """Return the process while it is the holder, for the observer."""
        return [] if self.process is None else [("leased", self.process)]

    def child_ended(self, _process: BaseProcess, _ended: Exit, /) -> None:
        """Handle the end of the process."""
        self._wake()

    def _begin(
        self, start: StartProcess, lease: Lease, retry_s: float, name: str | None, clock: Clock | None
    ) -> None:
        self._start, self._lease, self._retry_s = start, lease, retry_s
        self._is_quiet = self._wanted = self._keeps = False
        self._deadline = 0.0
        self._waiter: asyncio.Future[None] | None = None
        self.process = self.token = None
        self._bind(name, clock)
        self._task = self.loop.create_task(self._run(), name=self.name)

    async def _run(self) -> None:
        ended: Exit | None = None
        try:
            while ended is None and not self._wanted:
                token = None if self._is_quiet else await self._acquired()
                if token is not None:
                    ended = await self._hold(token)
                elif not self._wanted:
                    await self._pause(self._retry_s)
        except Exception as error:  # noqa: BLE001 - whatever `start` raises is the exit
            ended = exit_of(error)
            if ended.kind == "crash":
                log.error("%s crashed: %s", self.name, ended, exc_info=error)
        finally:
            if not self._keeps:
                await self._release()
            self._end(SHUTDOWN if ended is None else ended)

    async def _acquired(self) -> int | None:
        sent = self.scheduler.monotonic()
        try:
            token = await self._within(self._lease.acquire(), self._lease.ttl_s / PARTS)
        except Exception as error:  # noqa: BLE001 - a backend in trouble is tried again
            log.warning("%s could not ask for the lease %s: %r", self.name, self._lease.name, error)
            return None
        self._deadline = sent + self._lease.ttl_s
        return None if self._wanted else token

    async def _hold(self, token: int) -> Exit | None:
        """Run the process while it holds the lease; return its exit, or None if the lease was lost."""
        log.info("%s holds the lease %s, token %d", self.name, self._lease.name, token)
        self.token = token
        try:
            self.process = self._start(token)
            process = self.process.__process__
            process.parent = self
            if self._is_quiet:
                process.quiet()
            await self._renew_while_running(process)
            return process.exit
        finally:
            await self._let_go()

    async def _renew_while_running(self, process: BaseProcess) -> None:
        part = self._lease.ttl_s / PARTS
        pause = part
        while not self._is_over(process):
            left = self._deadline - part - self.scheduler.monotonic()
            await self._pause(min(pause, left))
            if self._is_over(process):
                return
            renewed = await self._renewed(self._deadline - part - self.scheduler.monotonic())
            if renewed is False:
                return
            pause = part if renewed else part / PARTS

    def _is_over(self, process: BaseProcess) -> bool:
        return process.exit is not None or self._wanted

    async def _renewed(self, seconds: float) -> bool | None:
        """Whether the lease was renewed; None if that is unknown and may be tried again."""
        sent = self.scheduler.monotonic()
        try:
            renewed = await self._within(self._lease.renew(), seconds)
        except Exception as error:  # noqa: BLE001 - a backend in trouble is tried again
            late = self.scheduler.monotonic() >= self._deadline - self._lease.ttl_s / PARTS
            log.warning("%s could not renew the lease %s: %r", self.name, self._lease.name, error)
            return False if late else None
        if renewed:
            self._deadline = sent + self._lease.ttl_s
        return renewed

    async def _let_go(self) -> None:
        """Stop the process within the lease's time and release the lease, unless the process goes on."""
        process = None if self.process is None else self.process.__process__
        self.process = None
        lost = process is not None and process.exit is None and not self._wanted
        if lost:
            log.error("%s lost the lease %s and stops what it runs", self.name, self._lease.name)
        self._keeps = process is not None and not await self._stopped(process)
        self.token = None
        if lost and not self._keeps:
            await self._release()
        elif self._keeps:
            log.error("%s keeps the lease %s: what it ran goes on", self.name, self._lease.name)

    async def _stopped(self, process: BaseProcess) -> bool:
        seconds = self._deadline - self.scheduler.monotonic() - KILL_WAIT_S
        limit = process.shutdown_limit
        if seconds > 0 and limit != "brutal_kill":
            process.shutdown()
            if await ended_within(
                self.clock, process, seconds if limit == "infinity" else min(limit, seconds)
            ):
                return True
        process.kill()
        if await ended_within(self.clock, process, KILL_WAIT_S):
            return True
        await process.stop("brutal_kill")  # abandons and reports it
        return False

    async def _release(self) -> None:
        try:
            await self._within(self._lease.release(), RELEASE_S, whatever=True)
        except Exception as error:  # noqa: BLE001 - then it runs out by itself
            log.warning("%s could not release the lease %s: %r", self.name, self._lease.name, error)

    async def _within(self, work: Coroutine[Any, Any, T], seconds: float, *, whatever: bool = False) -> T:
        """Return the result of the work; raise TimeoutError after `seconds`, or when this is to end."""
        task = self.loop.create_task(work)
        task.add_done_callback(self._answered)
        end = self.scheduler.monotonic() + seconds
        try:
            while not task.done() and (whatever or not self._wanted):
                left = end - self.scheduler.monotonic()
                if left <= 0:
                    break
                await self._pause(left)
            if task.done():
                return task.result()
            raise TimeoutError(f"no answer within {seconds:.3g} s")
        finally:
            task.cancel()

    async def _pause(self, seconds: float) -> None:
        """Wait for `seconds`, or until something happens."""
        if seconds <= 0:
            return
        self._waiter = waiter = self.loop.create_future()
        timer = self.scheduler.call_later(seconds, lambda: settle(waiter))
        try:
            await waiter
        finally:
            self._waiter = None
            timer.cancel()

    def _answered(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled():
            task.exception()  # looked at, in case nobody waits for it any longer
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None:
            settle(self._waiter)

    def _abandon(self) -> None:
        abandon(self._task, self.name)
        self._end(SHUTDOWN)
