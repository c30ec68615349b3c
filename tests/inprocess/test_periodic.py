from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inprocess import Anchored, Child, Grid, Refused, TaskSupervisor, TickCounts, WorkThenRearm, sleep
from inprocess.testing import FakeClock, settle

T0 = 1000.0


class Sync:
    """Work that takes `seconds` of the fake clock and notes when it started."""

    def __init__(self, tasks: TaskSupervisor, clock: FakeClock, seconds: float = 0.0) -> None:
        self.tasks, self.clock, self.seconds = tasks, clock, seconds
        self.starts: list[float] = []
        self.error: Exception | None = None

    def spawn(self) -> Child | Refused:
        return self.tasks.start_child(self.work)

    async def work(self) -> None:
        self.starts.append(round(self.clock.now - T0, 6))
        if self.error is not None:
            raise self.error
        if self.seconds:
            await sleep(self.clock, self.seconds)


def run(test: Callable[[TaskSupervisor, FakeClock], Awaitable[Any]]) -> None:
    async def main() -> None:
        clock = FakeClock(T0)
        async with TaskSupervisor.start() as tasks:
            await test(tasks, clock)

    asyncio.run(main())


def test_the_anchored_one_keeps_its_grid_and_the_naive_one_drifts_by_its_work() -> None:
    async def test(tasks: TaskSupervisor, clock: FakeClock) -> None:
        on_grid, naive = Sync(tasks, clock, 0.02), Sync(tasks, clock, 0.02)
        anchored = Anchored.start(on_grid.spawn, interval_s=1.0, clock=clock)
        rearmed = WorkThenRearm.start(naive.spawn, interval_s=1.0, clock=clock)
        await clock.advance(100.5)
        assert on_grid.starts == [float(k) for k in range(1, 101)]
        assert naive.starts == [round(k + 0.02 * (k - 1), 6) for k in range(1, 99)]
        await anchored.stop()
        await rearmed.stop()

    run(test)


def test_a_tick_that_finds_its_predecessor_running_is_skipped_and_counted() -> None:
    async def test(tasks: TaskSupervisor, clock: FakeClock) -> None:
        sync = Sync(tasks, clock, 1.5)
        server = Anchored.start(sync.spawn, interval_s=1.0, clock=clock)
        await clock.advance(6.2)
        assert sync.starts == [1.0, 3.0, 5.0]
        assert server.counts == TickCounts(runs=3, overlaps=3)
        await server.stop()

    run(test)


def test_ticks_that_went_by_while_the_loop_was_held_are_counted_and_not_caught_up() -> None:
    async def test(tasks: TaskSupervisor, clock: FakeClock) -> None:
        sync = Sync(tasks, clock)
        server = Anchored.start(sync.spawn, interval_s=1.0, clock=clock)
        await clock.advance(1.0)
        clock.jump(3.3)
        await clock.advance(1.0)
        assert sync.starts == [1.0, 4.3, 5.0]
        assert server.counts == TickCounts(runs=3, misfires=2)
        await server.stop()

    run(test)


def test_a_stall_makes_the_naive_one_late_for_good() -> None:
    async def test(tasks: TaskSupervisor, clock: FakeClock) -> None:
        sync = Sync(tasks, clock)
        server = WorkThenRearm.start(sync.spawn, interval_s=1.0, clock=clock)
        await clock.advance(0.9)
        clock.jump(0.5)
        await clock.advance(2.5)
        assert sync.starts == [1.4, 2.4, 3.4]
        await server.stop()

    run(test)


@pytest.mark.parametrize("policy", [Anchored, WorkThenRearm])
def test_a_run_that_fails_is_logged_and_the_next_tick_goes_on(
    policy: type[Anchored | WorkThenRearm], caplog: pytest.LogCaptureFixture
) -> None:
    async def test(tasks: TaskSupervisor, clock: FakeClock) -> None:
        sync = Sync(tasks, clock)
        sync.error = ValueError("node is away")
        server = policy.start(sync.spawn, interval_s=1.0, clock=clock)
        await clock.advance(10.5)
        assert len(sync.starts) == 10
        assert (server.exit, tasks.exit) == (None, None)
        await server.stop()

    run(test)
    assert caplog.text.count("ValueError('node is away')") == 10


def test_a_restart_with_the_same_origin_keeps_the_grid() -> None:
    async def test(tasks: TaskSupervisor, clock: FakeClock) -> None:
        sync = Sync(tasks, clock)
        start = partial(Anchored.start, sync.spawn, interval_s=1.0, t0=T0 + 0.25, clock=clock)
        server = start()
        await clock.advance(2.5)
        await server.stop("brutal_kill")
        await clock.advance(1.1)
        server = start()
        await clock.advance(2.0)
        assert sync.starts == [0.25, 1.25, 2.25, 4.25, 5.25]
        await server.stop()

    run(test)


@pytest.mark.parametrize("policy", [Anchored, WorkThenRearm])
def test_a_quiet_server_starts_no_more_runs_and_leaves_no_timer(
    policy: type[Anchored | WorkThenRearm],
) -> None:
    async def test(tasks: TaskSupervisor, clock: FakeClock) -> None:
        sync = Sync(tasks, clock, 0.5)
        server = policy.start(sync.spawn, interval_s=1.0, clock=clock)
        await clock.advance(1.1)
        server.quiet()
        await clock.advance(5.0)
        assert (sync.starts, clock.pending) == ([1.0], 0)
        await server.stop()

    run(test)


def test_runs_that_the_supervisor_refuses_are_counted() -> None:
    async def test(tasks: TaskSupervisor, clock: FakeClock) -> None:
        sync = Sync(tasks, clock)
        server = Anchored.start(sync.spawn, interval_s=1.0, clock=clock)
        tasks.quiet()
        await clock.advance(2.1)
        assert server.counts == TickCounts(refusals=2)
        await server.stop()
        await settle()

    run(test)


@given(
    st.floats(0, 1e7, allow_nan=False),
    st.floats(1e-3, 1e4, allow_nan=False),
    st.floats(0, 1e5, allow_nan=False),
)
def test_the_last_tick_of_a_grid_is_the_last_that_is_due(t0: float, interval_s: float, after: float) -> None:
    grid = Grid(t0, interval_s)
    now = t0 + after

    k = grid.last(now)

    assert grid.at(k) <= now < grid.at(k + 1)


@given(st.floats(0, 1e7), st.floats(1e-3, 1e4), st.integers(0, 10_000))
def test_a_tick_is_due_at_its_own_moment(t0: float, interval_s: float, k: int) -> None:
    assert Grid(t0, interval_s).last(Grid(t0, interval_s).at(k)) == k


def test_an_interval_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="expected more than 0"):
        Grid(0.0, 0.0)
