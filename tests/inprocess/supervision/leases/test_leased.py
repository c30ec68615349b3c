from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inprocess.supervision.core.clock import sleep
from inprocess.supervision.core.exits import SHUTDOWN
from inprocess.supervision.core.process import KILL_WAIT_S
from inprocess.supervision.leases.lease import check_ttl
from inprocess.supervision.leases.leased import PARTS, RETRY_S, Leased
from inprocess.supervision.periodic.periodic import Periodic
from inprocess.supervision.servers.gen_server import GenServer
from inprocess.supervision.supervisors.child_spec import ChildSpec
from inprocess.supervision.supervisors.supervisor import Supervisor
from inprocess.supervision.tasks.task_supervisor import TaskSupervisor
from inprocess.testing import FakeClock, settle

TTL_S = 15.0


class Board:
    """A backend in memory: one key with a time to live, on the fake clock."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock, self.owner, self.until, self.token = clock, "", 0.0, 0

    def holder(self) -> str:
        return self.owner if self.clock.now < self.until else ""


class BoardLease:
    """A replica's view of the board: it may be cut off from it, or get no answer."""

    name = "board"

    def __init__(self, board: Board, replica: str) -> None:
        self.board, self.replica = board, replica
        self.ttl_s = TTL_S
        self.trouble: str | None = None
        #: Seconds that the answer to `acquire` is on its way.
        self.answer_s = 0.0

    async def acquire(self) -> int | None:
        await self._reached()
        if self.board.holder() not in {"", self.replica}:
            return None
        self.board.token += 1
        self._take()
        token = self.board.token
        await sleep(self.board.clock, self.answer_s)
        return token

    async def renew(self) -> bool:
        await self._reached()
        if self.board.holder() != self.replica:
            return False
        self._take()
        return True

    async def release(self) -> None:
        await self._reached()
        if self.board.owner == self.replica:
            self.board.owner = ""

    def _take(self) -> None:
        self.board.owner, self.board.until = self.replica, self.board.clock.now + self.ttl_s

    async def _reached(self) -> None:
        await asyncio.sleep(0)
        if self.trouble == "refuses":
            raise ConnectionError("the backend refuses")
        if self.trouble == "silent":
            await asyncio.get_running_loop().create_future()


class Replica:
    """A candidate on the board whose process notes when it runs."""

    def __init__(self, board: Board, name: str) -> None:
        self.lease = BoardLease(board, name)
        self.tokens: list[int] = []
        self.process: Periodic | None = None
        self.leased = Leased.start(self.start, self.lease, clock=board.clock)
        self.clock = board.clock

    def start(self, token: int) -> Periodic:
        self.tokens.append(token)
        self.process = Periodic.start(lambda: None, interval_s=1.0, clock=self.clock)
        return self.process

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.exit is None


def run(test: Callable[[Board, FakeClock], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        clock = FakeClock()
        await test(Board(clock), clock)

    asyncio.run(main())


def test_one_of_two_replicas_runs_the_process_and_the_other_follows_at_its_end() -> None:
    async def test(board: Board, clock: FakeClock) -> None:
        one, two = Replica(board, "one"), Replica(board, "two")
        await clock.advance(60.0)
        assert (one.runs, two.runs) == (True, False)
        assert (one.leased.is_holder, two.leased.is_holder) == (True, False)
        await one.leased.stop()
        assert (one.leased.exit, one.runs, board.holder()) == (SHUTDOWN, False, "")
        await clock.advance(RETRY_S)
        assert (two.runs, two.tokens) == (True, [2])
        await two.leased.stop()

    run(test)


def test_the_lease_counts_from_its_request_and_not_from_a_late_answer() -> None:
    async def test(board: Board, clock: FakeClock) -> None:
        one = Replica(board, "one")
        one.lease.answer_s = TTL_S / PARTS - 0.5
        await clock.advance(one.lease.answer_s)
        assert one.runs
        one.lease.trouble = "silent"
        ends = board.until - TTL_S / PARTS  # what is left then is for the process to end in
        await clock.advance(ends - clock.now - 0.01)
        assert one.runs
        await clock.advance(0.02)
        assert not one.runs
        one.lease.trouble = None
        await clock.advance(60.0)
        await one.leased.stop()

    run(test)


@pytest.mark.parametrize("trouble", ["refuses", "silent"])
def test_a_holder_that_cannot_reach_the_backend_stops_before_another_may_start(
    trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(board: Board, clock: FakeClock) -> None:
        one, two = Replica(board, "one"), Replica(board, "two")
        await clock.advance(1.0)
        one.lease.trouble = trouble
        stopped_at = None
        while not two.runs:
            await clock.advance(0.25)
            if not one.runs and stopped_at is None:
                stopped_at = clock.now
            assert not (one.runs and two.runs)
        assert stopped_at is not None
        assert stopped_at < clock.now
        one.lease.trouble = None
        await one.leased.stop()
        await two.leased.stop()

    run(test)
    assert "lost the lease board" in caplog.text


def test_a_short_trouble_of_the_backend_is_survived() -> None:
    async def test(board: Board, clock: FakeClock) -> None:
        one = Replica(board, "one")
        await clock.advance(1.0)
        one.lease.trouble = "refuses"
        await clock.advance(7.0)
        one.lease.trouble = None
        await clock.advance(30.0)
        assert (one.runs, one.tokens) == (True, [1])
        await one.leased.stop()

    run(test)


def test_a_lease_that_another_has_taken_ends_the_process_and_is_tried_for_again() -> None:
    async def test(board: Board, clock: FakeClock) -> None:
        one = Replica(board, "one")
        await clock.advance(1.0)
        board.owner, board.until = "somebody", clock.now + 20.0
        await clock.advance(6.0)
        assert (one.runs, one.leased.is_holder) == (False, False)
        await clock.advance(20.0)
        assert (one.runs, one.tokens) == (True, [1, 2])
        await one.leased.stop()

    run(test)


def test_a_process_that_ends_by_itself_ends_the_leased_one_with_the_same_exit() -> None:
    async def test(board: Board, clock: FakeClock) -> None:
        def spawn() -> None:
            raise ValueError("no")

        lease = BoardLease(board, "one")
        leased = Leased.start(
            lambda _: Periodic.start(spawn, interval_s=1.0, clock=clock), lease, clock=clock
        )
        await clock.advance(2.0)
        assert leased.exit is not None
        assert isinstance(leased.exit.error, ValueError)
        assert board.holder() == ""

    run(test)


def test_a_start_that_fails_is_a_crash_and_gives_the_lease_back() -> None:
    async def test(board: Board, clock: FakeClock) -> None:
        def start(_token: int) -> Periodic:
            raise ValueError("no")

        leased = Leased.start(start, BoardLease(board, "one"), clock=clock)
        await clock.advance(1.0)
        assert leased.exit is not None
        assert leased.exit.kind == "crash"
        assert board.holder() == ""

    run(test)


def test_a_killed_one_kills_its_process_and_gives_the_lease_back() -> None:
    async def test(board: Board, clock: FakeClock) -> None:
        one = Replica(board, "one")
        await clock.advance(1.0)
        await one.leased.stop("brutal_kill")
        assert (one.leased.exit, one.runs, board.holder()) == (SHUTDOWN, False, "")

    run(test)


@pytest.mark.parametrize("trouble", ["refuses", "silent", None])
def test_a_candidate_can_be_stopped_whatever_the_backend_does(trouble: str | None) -> None:
    async def test(board: Board, clock: FakeClock) -> None:
        board.owner, board.until = "somebody", clock.now + 1e6
        one = Replica(board, "one")
        one.lease.trouble = trouble
        await settle()
        stopping = asyncio.ensure_future(one.leased.stop())
        await clock.advance(3.0)
        assert stopping.done()
        assert one.leased.exit == SHUTDOWN

    run(test)


def test_a_process_that_ignores_its_end_keeps_the_lease_until_that_runs_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Stubborn(GenServer):
        async def init(self) -> None:
            self.free = asyncio.get_running_loop().create_future()
            self.cast("hold on")

        async def handle_cast(self, _message: object, /) -> None:
            while not self.free.done():
                try:
                    await asyncio.shield(self.free)
                except asyncio.CancelledError:
                    continue

    async def test(board: Board, clock: FakeClock) -> None:
        lease, started = BoardLease(board, "one"), list[Stubborn]()

        def start(_token: int) -> Stubborn:
            started.append(Stubborn.start(clock=clock))
            return started[0]

        leased = Leased.start(start, lease, clock=clock)
        await clock.advance(1.0)
        stopping = asyncio.ensure_future(leased.stop())
        await clock.advance(TTL_S + 2 * KILL_WAIT_S)
        assert stopping.done()
        assert board.owner == "one"
        started[0].free.set_result(None)
        await settle()

    run(test)
    assert "keeps the lease board" in caplog.text


def test_a_lost_lease_ends_the_runs_too_where_their_supervisor_is_below_it() -> None:
    async def test(board: Board, clock: FakeClock) -> None:
        tasks: list[TaskSupervisor] = []
        ended: list[float] = []

        async def work() -> None:
            try:
                await sleep(clock, 1e6)
            finally:
                ended.append(clock.now)

        def runs() -> TaskSupervisor:
            tasks.append(TaskSupervisor.start(clock=clock))
            return tasks[-1]

        def ticks() -> Periodic:
            return Periodic.start(lambda: tasks[-1].start_child(work), interval_s=1.0, clock=clock)

        def tree(_token: int) -> Supervisor:
            return Supervisor.start([ChildSpec("runs", runs), ChildSpec("ticks", ticks)], clock=clock)

        lease = BoardLease(board, "one")
        leased = Leased.start(tree, lease, clock=clock)
        await clock.advance(2.0)
        assert [work.state for work in leased.held()] == ["running"]
        lease.trouble = "silent"
        until = board.until
        await clock.advance(TTL_S)
        assert not leased.is_holder
        assert len(ended) == 1
        assert ended[0] < until
        lease.trouble = None
        await leased.stop()

    run(test)


def test_a_quiet_candidate_takes_nothing_over() -> None:
    async def test(board: Board, clock: FakeClock) -> None:
        one, two = Replica(board, "one"), Replica(board, "two")
        await clock.advance(1.0)
        two.leased.quiet()
        await one.leased.stop()
        await clock.advance(10.0)
        assert not two.runs
        await two.leased.stop()

    run(test)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0, 1]), st.sampled_from([None, "refuses", "silent"]), st.integers(1, 20)),
        max_size=12,
    )
)
def test_never_do_two_replicas_run_at_once_and_one_does_in_the_end(
    troubles: list[tuple[int, str | None, int]],
) -> None:
    async def test(board: Board, clock: FakeClock) -> None:
        replicas = [Replica(board, "one"), Replica(board, "two")]
        for which, trouble, steps in troubles:
            replicas[which].lease.trouble = trouble
            for _ in range(steps):
                await clock.advance(0.5)
                assert sum(replica.runs for replica in replicas) <= 1
        for replica in replicas:
            replica.lease.trouble = None
        await clock.advance(TTL_S + RETRY_S)
        assert sum(replica.runs for replica in replicas) == 1
        tokens = sorted(token for replica in replicas for token in replica.tokens)
        assert len(set(tokens)) == len(tokens)
        for replica in replicas:
            await replica.leased.stop()

    run(test)


def test_a_time_to_live_too_short_to_renew_in_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 1 s or more"):
        check_ttl(0.5)
