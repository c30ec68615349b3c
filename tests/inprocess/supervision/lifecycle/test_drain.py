from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from inprocess import (
    Backoff,
    Child,
    ChildSpec,
    DrainReport,
    Refused,
    Supervisor,
    TaskSupervisor,
    drain,
    sleep,
    whereis,
)
from inprocess.supervision.core.exits import SHUTDOWN
from inprocess.supervision.core.process import BaseProcess
from inprocess.supervision.lifecycle.drain import CutOff
from inprocess.testing import FakeClock, settle


async def work(clock: FakeClock, seconds: float) -> None:
    await sleep(clock, seconds)


async def fail() -> None:
    await asyncio.sleep(0)
    raise ValueError


async def ignore_cancellation() -> None:
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue


def run(test: Callable[[FakeClock, Supervisor, TaskSupervisor], Awaitable[Any]]) -> None:
    async def main() -> None:
        clock = FakeClock()
        spec = ChildSpec("tasks", partial(TaskSupervisor.start, name="tasks", clock=clock))
        tree = Supervisor.start([spec], name="tree", clock=clock)
        await tree.ready()
        tasks = whereis("tasks")
        assert isinstance(tasks, TaskSupervisor)
        await test(clock, tree, tasks)
        assert (str(tree.exit), clock.pending) == ("shutdown", 0)

    asyncio.run(main())


def test_work_that_ends_within_the_grace_is_waited_for_and_no_longer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test(clock: FakeClock, tree: Supervisor, tasks: TaskSupervisor) -> None:
        for seconds in (1.0, 3.0):
            tasks.start_child(work, clock, seconds)
        draining = asyncio.ensure_future(drain(tree, grace_s=10.0))
        await clock.advance(2.9)
        assert not draining.done()
        await clock.advance(0.2)
        assert await draining == DrainReport(ended=2)

    with caplog.at_level(logging.INFO, logger="inprocess"):
        run(test)
    assert "tree drained: 2 ended, none cut off" in caplog.text


def test_new_work_is_refused_with_the_reason_while_it_drains() -> None:
    async def test(clock: FakeClock, tree: Supervisor, tasks: TaskSupervisor) -> None:
        tasks.start_child(work, clock, 1.0)
        draining = asyncio.ensure_future(drain(tree, grace_s=10.0))
        await settle()
        refused = tasks.start_child(work, clock, 1.0)
        assert isinstance(refused, Refused)
        assert (refused.reason, "takes no new work" in refused.text) == ("draining", True)
        await clock.advance(1.0)
        await draining

    run(test)


def test_a_retry_that_comes_within_the_grace_still_happens() -> None:
    async def test(clock: FakeClock, tree: Supervisor, tasks: TaskSupervisor) -> None:
        attempts: list[float] = []

        async def second_time_lucky() -> None:
            await asyncio.sleep(0)
            attempts.append(clock.now)
            if len(attempts) == 1:
                raise ValueError

        backoff = Backoff(initial_s=2.0, jitter=0.0)
        tasks.start_child(second_time_lucky, restart="transient", backoff=backoff)
        await settle()
        draining = asyncio.ensure_future(drain(tree, grace_s=10.0))
        await clock.advance(2.0)
        assert await draining == DrainReport(ended=1)

    run(test)


def test_what_the_grace_cuts_off_is_reported_by_name_state_and_arguments(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test(clock: FakeClock, tree: Supervisor, tasks: TaskSupervisor) -> None:
        tasks.start_child(work, clock, 60.0, name="long")
        tasks.start_child(fail, name="failing", restart="transient", backoff=Backoff(initial_s=50.0))
        stubborn = tasks.start_child(ignore_cancellation, name="stubborn", shutdown=1.0)
        await settle()
        draining = asyncio.ensure_future(drain(tree, grace_s=5.0))
        await clock.advance(4.9)
        assert not draining.done()
        await clock.advance(3.0)
        report = await draining
        assert isinstance(stubborn, Child)
        assert report.ended == 0
        assert [(cut.name, cut.state, cut.attempt, cut.abandoned) for cut in report.cut_off] == [
            ("long", "running", 1, False),
            ("failing", "backing off", 2, False),
            ("stubborn", "running", 1, True),
        ]

    run(test)
    assert "3 cut off and lost" in caplog.text
    assert "60.0) (running, attempt 1)" in caplog.text


def test_a_long_report_says_how_many_more_there_were() -> None:
    cut = CutOff("job", "job: f()", "running", 1, abandoned=False)

    assert str(DrainReport(0, (cut,) * 130)).splitlines()[-1] == "  and 30 more"


def test_a_supervisor_that_comes_back_during_the_drain_takes_no_new_work_either() -> None:
    async def test(clock: FakeClock, tree: Supervisor, tasks: TaskSupervisor) -> None:
        other = await tree.start_child(ChildSpec("other", partial(TaskSupervisor.start, clock=clock)))
        assert isinstance(other, TaskSupervisor)
        other.start_child(work, clock, 60.0)  # keeps the drain waiting
        tasks.start_child(fail, restart="transient")
        draining = asyncio.ensure_future(drain(tree, grace_s=1.0))
        await clock.advance(0.9)
        second = whereis("tasks")
        assert isinstance(second, TaskSupervisor)
        assert second is not tasks  # it gave up, and came back
        refused = second.start_child(work, clock, 1.0)
        assert isinstance(refused, Refused)
        await clock.advance(0.2)
        await draining

    run(test)


def test_a_cancelled_drain_cuts_the_grace_short_and_still_stops_and_reports(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test(clock: FakeClock, tree: Supervisor, tasks: TaskSupervisor) -> None:
        tasks.start_child(work, clock, 60.0, name="long")
        draining = asyncio.ensure_future(drain(tree, grace_s=30.0))
        await settle()
        draining.cancel()
        with pytest.raises(asyncio.CancelledError):
            await draining

    run(test)
    assert "long: work(" in caplog.text
    assert "1 cut off and lost" in caplog.text


def test_a_drain_whose_grace_is_over_waits_for_nothing_any_more() -> None:
    class NeverIdle(BaseProcess):
        async def idle(self) -> None:
            await asyncio.get_running_loop().create_future()

        def shutdown(self) -> None:
            self._end(SHUTDOWN)

        kill = shutdown

    async def main() -> None:
        process, clock = NeverIdle(), FakeClock()
        process._bind("busy", clock)
        draining = asyncio.create_task(drain(process, grace_s=5.0))
        await clock.advance(4.9)
        assert process.exit is None
        await clock.advance(0.1)
        await draining
        await settle()
        assert str(process.exit) == "shutdown"
        assert clock.pending == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
