from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inprocess import WorkThenRearm
from inprocess.supervision.core import telemetry
from inprocess.supervision.core.clock import sleep
from inprocess.supervision.core.errors import Refused
from inprocess.supervision.core.names import whereis
from inprocess.supervision.lifecycle.runtime import Runtime
from inprocess.supervision.periodic.grid import Grid, wall_origin
from inprocess.supervision.periodic.periodic import Periodic
from inprocess.supervision.periodic.policies import (
    CATCH_UP_MAX,
    Misfire,
    Overlap,
    PeriodicOptions,
    TickCounts,
)
from inprocess.supervision.periodic.timer_process import TICK
from inprocess.supervision.periodic.work_then_rearm import FixedDelay
from inprocess.supervision.tasks.child import Child
from inprocess.supervision.tasks.task_supervisor import TaskSupervisor
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


def test_the_one_on_a_grid_keeps_its_grid_and_the_naive_one_drifts_by_its_work() -> None:
    async def test(tasks: TaskSupervisor, clock: FakeClock) -> None:
        on_grid, naive = Sync(tasks, clock, 0.02), Sync(tasks, clock, 0.02)
        grid = Periodic.start(on_grid.spawn, interval_s=1.0, clock=clock)
        rearmed = FixedDelay.start(naive.spawn, interval_s=1.0, clock=clock)
        await clock.advance(100.5)
        assert on_grid.starts == [float(k) for k in range(1, 101)]
        assert naive.starts == [round(k + 0.02 * (k - 1), 6) for k in range(1, 99)]
        await grid.stop()
        await rearmed.stop()

    run(test)


def test_a_tick_that_finds_its_predecessor_running_is_skipped_and_counted() -> None:
    async def test(tasks: TaskSupervisor, clock: FakeClock) -> None:
        sync = Sync(tasks, clock, 1.5)
        server = Periodic.start(sync.spawn, interval_s=1.0, clock=clock)
        await clock.advance(6.2)
        assert sync.starts == [1.0, 3.0, 5.0]
        assert server.counts == TickCounts(runs=3, overlaps=3)
        await server.stop()

    run(test)


def test_ticks_that_went_by_while_the_loop_was_held_are_counted_and_not_caught_up() -> None:
    async def test(tasks: TaskSupervisor, clock: FakeClock) -> None:
        sync = Sync(tasks, clock)
        server = Periodic.start(sync.spawn, interval_s=1.0, clock=clock)
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
        server = FixedDelay.start(sync.spawn, interval_s=1.0, clock=clock)
        await clock.advance(0.9)
        clock.jump(0.5)
        await clock.advance(2.5)
        assert sync.starts == [1.4, 2.4, 3.4]
        await server.stop()

    run(test)


@pytest.mark.parametrize("policy", [Periodic, FixedDelay])
def test_a_run_that_fails_is_logged_and_the_next_tick_goes_on(
    policy: type[Periodic | FixedDelay], caplog: pytest.LogCaptureFixture
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
        start = partial(Periodic.start, sync.spawn, interval_s=1.0, t0=T0 + 0.25, clock=clock)
        server = start()
        await clock.advance(2.5)
        await server.stop("brutal_kill")
        await clock.advance(1.1)
        server = start()
        await clock.advance(2.0)
        assert sync.starts == [0.25, 1.25, 2.25, 4.25, 5.25]
        await server.stop()

    run(test)


@pytest.mark.parametrize("policy", [Periodic, FixedDelay])
def test_a_quiet_server_starts_no_more_runs_and_leaves_no_timer(
    policy: type[Periodic | FixedDelay],
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
        server = Periodic.start(sync.spawn, interval_s=1.0, clock=clock)
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


def test_a_tick_that_comes_too_soon_is_buffered_once_and_run_when_its_predecessor_ends() -> None:
    async def test(tasks: TaskSupervisor, clock: FakeClock) -> None:
        sync = Sync(tasks, clock, 2.5)
        server = Periodic.start(sync.spawn, interval_s=1.0, overlap="buffer_one", clock=clock)
        await clock.advance(7.0)
        assert sync.starts == [1.0, 3.5, 6.0]
        assert server.counts == TickCounts(runs=3, overlaps=3)
        await server.stop()

    run(test)


def test_overlapping_runs_go_side_by_side_where_that_is_allowed() -> None:
    async def test(tasks: TaskSupervisor, clock: FakeClock) -> None:
        sync = Sync(tasks, clock, 2.5)
        server = Periodic.start(sync.spawn, interval_s=1.0, overlap="allow", clock=clock)
        await clock.advance(3.2)
        assert sync.starts == [1.0, 2.0, 3.0]
        assert tasks.count == 3
        await server.stop()

    run(test)


def test_a_previous_run_is_cancelled_and_its_successor_waits_until_it_has_cleaned_up() -> None:
    async def test(tasks: TaskSupervisor, clock: FakeClock) -> None:
        seen: list[tuple[str, float]] = []

        async def work() -> None:
            seen.append(("start", clock.now - T0))
            try:
                await sleep(clock, 10.0)
            finally:
                await sleep(clock, 0.25)
                seen.append(("clean", clock.now - T0))

        server = Periodic.start(
            lambda: tasks.start_child(work), interval_s=1.0, overlap="cancel_previous", clock=clock
        )
        await clock.advance(3.1)
        assert seen == [("start", 1.0), ("clean", 2.25), ("start", 2.25)]
        assert server.counts == TickCounts(runs=2, cancellations=2)
        await server.stop()
        await clock.advance(1.0)

    run(test)


def test_a_cancelled_run_that_ignores_it_is_abandoned_and_the_next_one_starts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        clock, starts, free = FakeClock(T0), list[float](), asyncio.Event()

        async def stubborn() -> None:
            starts.append(clock.now - T0)
            while not free.is_set():
                try:
                    await free.wait()
                except asyncio.CancelledError:
                    continue

        async with TaskSupervisor.start(clock=clock) as tasks:
            server = Periodic.start(
                lambda: tasks.start_child(stubborn, shutdown=0.5),
                interval_s=2.0,
                overlap="cancel_previous",
                clock=clock,
            )
            await clock.advance(5.5)
            assert starts == [2.0, 5.0]
            await server.stop()
            free.set()
            await settle()

    asyncio.run(main())
    assert "was abandoned" in caplog.text


def test_missed_ticks_are_caught_up_one_after_the_other() -> None:
    async def test(tasks: TaskSupervisor, clock: FakeClock) -> None:
        sync = Sync(tasks, clock, 0.25)
        server = Periodic.start(sync.spawn, interval_s=1.0, misfire="catch_up", clock=clock)
        await clock.advance(0.5)
        clock.jump(2.75)
        await clock.advance(1.75)
        assert sync.starts == [3.25, 3.5, 3.75, 5.0]
        assert server.counts == TickCounts(runs=4, overlaps=1)
        await server.stop()

    run(test)


def test_catching_up_is_bounded_and_says_what_it_dropped(caplog: pytest.LogCaptureFixture) -> None:
    async def test(tasks: TaskSupervisor, clock: FakeClock) -> None:
        sync = Sync(tasks, clock)
        server = Periodic.start(sync.spawn, interval_s=1.0, misfire="catch_up", clock=clock)
        clock.jump(1e6)
        await clock.advance(0.5)
        await settle(10 * CATCH_UP_MAX)
        assert server.counts.runs == CATCH_UP_MAX
        assert server.counts.misfires == 1e6 - CATCH_UP_MAX
        await server.stop()

    run(test)
    assert "too far behind" in caplog.text


@pytest.mark.parametrize(
    ("misfire", "starts", "misfires"),
    [("skip", [5.0], 4), ("coalesce", [4.75, 5.0], 3), ("catch_up", [4.75, 4.75, 4.75, 4.75, 5.0], 0)],
)
def test_ticks_past_their_grace_are_misfires_and_end_as_the_policy_says(
    misfire: Misfire, starts: list[float], misfires: int
) -> None:
    async def test(tasks: TaskSupervisor, clock: FakeClock) -> None:
        sync = Sync(tasks, clock)
        server = Periodic.start(sync.spawn, interval_s=1.0, misfire=misfire, grace_s=0.5, clock=clock)
        clock.jump(4.75)
        await clock.advance(0.5)
        assert sync.starts == starts
        assert server.counts == TickCounts(runs=len(starts), misfires=misfires)
        await server.stop()

    run(test)


def test_jitter_delays_each_tick_and_never_adds_up() -> None:
    async def test(tasks: TaskSupervisor, clock: FakeClock) -> None:
        sync, chances = Sync(tasks, clock), iter([0.5, 0.0, 0.75] * 100)
        server = Periodic.start(
            sync.spawn, interval_s=1.0, jitter_s=0.5, chance=lambda: next(chances), clock=clock
        )
        await clock.advance(6.5)
        assert sync.starts == [1.25, 2.0, 3.375, 4.25, 5.0, 6.375]
        await clock.advance(100.0)
        assert sync.starts[-1] <= 106.5
        assert server.counts.misfires == 0
        await server.stop()

    run(test)


def test_a_late_tick_whose_successors_jitter_is_not_over_is_no_misfire() -> None:
    async def test(tasks: TaskSupervisor, clock: FakeClock) -> None:
        sync, chances = Sync(tasks, clock), iter([0.5, 0.9, 0.9])
        server = Periodic.start(
            sync.spawn, interval_s=1.0, jitter_s=0.9, chance=lambda: next(chances), clock=clock
        )
        clock.jump(2.25)
        await clock.advance(0.65)
        assert sync.starts == [2.25, 2.81]
        assert server.counts == TickCounts(runs=2)
        await server.stop()

    run(test)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"overlap": "wait"}, "buffer_one"),
        ({"misfire": "retry"}, "coalesce"),
        ({"jitter_s": 1.0}, "jitter_s"),
        ({"grace_s": -1.0}, "grace_s"),
        ({"interval_s": 0.0}, "expected more than 0"),
        ({"interval_s": float("nan")}, "expected more than 0"),
    ],
)
def test_options_that_make_no_sense_are_refused_by_name(options: dict[str, Any], names: str) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match=names):
            Periodic.start(lambda: None, **{"interval_s": 1.0, "name": "refused", **options})

    asyncio.run(main())
    assert whereis("refused") is None


def test_a_spawn_that_raises_is_a_crash_after_which_nothing_ticks(caplog: pytest.LogCaptureFixture) -> None:
    async def test(_tasks: TaskSupervisor, clock: FakeClock) -> None:
        def spawn() -> None:
            raise ValueError("no such table")

        server = Periodic.start(spawn, interval_s=1.0, clock=clock)
        await clock.advance(1.0)
        assert server.exit is not None
        assert isinstance(server.exit.error, ValueError)
        assert (server.next_at, clock.pending) == (None, 0)

    run(test)
    assert "no such table" in caplog.text


def test_short_plain_work_may_be_done_in_place() -> None:
    async def test(_tasks: TaskSupervisor, clock: FakeClock) -> None:
        seen: list[float] = []
        server = Periodic.start(lambda: seen.append(clock.now - T0), interval_s=1.0, clock=clock)
        await clock.advance(3.0)
        assert seen == [1.0, 2.0, 3.0]
        await server.stop()

    run(test)


def test_a_server_tells_when_it_ran_last_and_when_it_runs_next() -> None:
    async def test(tasks: TaskSupervisor, clock: FakeClock) -> None:
        sync = Sync(tasks, clock, 1.0)
        server = Periodic.start(sync.spawn, interval_s=2.0, clock=clock)
        assert (server.last_run_at, server.next_at, server.run) == (None, T0 + 2.0, None)
        before = time.time()
        await clock.advance(2.5)
        assert server.last_run_at is not None
        assert before <= server.last_run_at <= time.time()
        assert server.next_at == T0 + 4.0
        assert [server.run] == tasks.children()
        await clock.advance(1.0)
        assert server.run is None
        await server.stop()

    run(test)


def test_each_tick_is_told_to_who_attached_a_handler() -> None:
    told: list[tuple[float, int, str]] = []

    def handler(_event: Any, numbers: Any, about: Any) -> None:
        told.append((numbers["late_s"], numbers["misfires"], about["outcome"]))

    async def test(tasks: TaskSupervisor, clock: FakeClock) -> None:
        telemetry.attach("test", [TICK], handler)
        sync = Sync(tasks, clock)
        server = Periodic.start(sync.spawn, interval_s=1.0, clock=clock)
        await clock.advance(0.5)
        clock.jump(2.75)
        await clock.advance(0.0)
        tasks.quiet()
        await clock.advance(1.0)
        telemetry.detach("test")
        await server.stop()

    run(test)
    assert told == [(0.25, 2, "run"), (0.0, 0, "refusal")]


@pytest.mark.parametrize("policy", [Periodic, FixedDelay])
def test_a_server_can_be_started_where_there_is_no_loop(policy: type[Periodic | FixedDelay]) -> None:
    ticked = threading.Event()
    with Runtime(name="runtime-periodic") as runtime:
        server = policy.start(ticked.set, interval_s=0.01)
        assert ticked.wait(10.0)
        runtime.run(server.stop())
    assert server.exit is not None


@pytest.mark.parametrize("policy", [Periodic, FixedDelay])
def test_an_interval_is_more_than_nothing(policy: type[Periodic | FixedDelay]) -> None:
    with pytest.raises(ValueError, match="expected more than 0"):
        policy.start(lambda: None, interval_s=0.0)


def test_replicas_with_an_origin_by_the_wall_clock_tick_in_the_same_moments() -> None:
    for monotonic, wall in ((5.0, 1_000_000_007.0), (905.0, 1_000_000_037.25)):
        grid = Grid(wall_origin(60.0, monotonic=monotonic, wall=wall), 60.0)
        next_tick = grid.at(grid.last(monotonic) + 1)
        assert (next_tick - monotonic + wall) % 60.0 == 0.0


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("advance"), st.sampled_from([0.25, 0.5, 1.0, 3.0])),
        st.tuples(st.just("jump"), st.sampled_from([0.25, 0.75, 1.5, 4.0])),
        st.tuples(st.just("work takes"), st.sampled_from([0.0, 0.25, 1.25, 2.5])),
    ),
    max_size=14,
)


@settings(max_examples=80, deadline=None)
@given(
    STEPS,
    st.sampled_from(get_args(Overlap)),
    st.sampled_from(get_args(Misfire)),
    st.sampled_from([float("inf"), 0.5]),
    st.sampled_from([0.0, 0.25]),
)
def test_every_tick_is_run_or_accounted_for_whatever_happens(
    steps: list[tuple[str, float]], overlap: Overlap, misfire: Misfire, grace_s: float, jitter_s: float
) -> None:
    async def test(tasks: TaskSupervisor, clock: FakeClock) -> None:
        sync = Sync(tasks, clock)
        server = Periodic.start(
            sync.spawn, interval_s=1.0, overlap=overlap, misfire=misfire, grace_s=grace_s,
            jitter_s=jitter_s, chance=lambda: 0.5, clock=clock,
        )  # fmt: skip
        for what, seconds in steps:
            if what == "work takes":
                sync.seconds = seconds
            elif what == "jump":
                clock.jump(seconds)
            else:
                await clock.advance(seconds)
            assert overlap == "allow" or tasks.count <= 1
        await clock.advance(0.0)
        counts = server.counts
        assert server.next_at is not None
        ticks = server.grid.last(server.next_at) - 1
        assert counts.runs + counts.misfires + counts.overlaps + server._owed == ticks or (
            misfire == "coalesce" and counts.runs + counts.misfires + counts.overlaps + server._owed <= ticks
        )
        assert server.next_at > clock.now
        assert counts.runs == len(sync.starts)
        await server.stop()
        for child in tasks.children():
            await tasks.terminate_child(child)

    run(test)


def test_the_articles_name_for_the_fixed_delay_still_works() -> None:
    assert WorkThenRearm is FixedDelay


def test_a_tick_that_is_late_by_all_of_its_grace_still_runs_and_one_beyond_it_does_not() -> None:
    schedule = PeriodicOptions(interval_s=1.0, grace_s=0.5)
    assert [schedule.runs_for(0, late_s) for late_s in (0.5, 0.500001)] == [1, 0]
