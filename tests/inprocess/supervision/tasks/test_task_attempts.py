from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from time import perf_counter
from typing import Any

import pytest

from inprocess import Backoff, Child, ChildSpec, Supervisor, Task, TaskSupervisor, current_child
from inprocess.supervision.core import telemetry
from inprocess.supervision.core.scheduler import SLICE_S
from inprocess.supervision.tasks.task import unlinked
from inprocess.supervision.tasks.task_supervisor import STARTS_PER_LOOK
from inprocess.testing import FakeClock, settle

needs_eager_tasks = pytest.mark.skipif(
    sys.version_info < (3, 12), reason="Python has eager tasks from 3.12 on"
)


def run(test: Callable[[], Awaitable[Any]]) -> None:
    async def main() -> None:
        await test()

    asyncio.run(main())


def started(child: object) -> Child:
    assert isinstance(child, Child)
    return child


async def nothing() -> None:
    """The smallest job."""


def test_each_child_has_a_task_and_a_time_limit_of_its_own_from_its_first_line_on() -> None:
    async def test() -> None:
        tasks: list[asyncio.Task[Any] | None] = []

        async def work() -> None:
            tasks.append(asyncio.current_task())
            async with asyncio.timeout(0):
                await asyncio.get_running_loop().create_future()

        async with TaskSupervisor.start() as supervisor:
            children = [started(supervisor.start_child(work)) for _ in range(3)]
            ends = [await child.wait() for child in children]
        assert [type(end.error) for end in ends] == [TimeoutError] * 3
        assert len({id(task) for task in tasks}) == 3
        assert None not in tasks

    run(test)


def test_context_variables_go_from_child_to_child_no_more_than_from_attempt_to_attempt() -> None:
    tenant: ContextVar[str] = ContextVar("tenant", default="nobody")
    seen: list[str] = []

    async def work() -> None:
        seen.append(tenant.get())
        tenant.set("somebody")
        child = current_child()
        assert child is not None
        if child.attempt == 1:
            raise ValueError

    async def test() -> None:
        async with TaskSupervisor.start(max_restarts=9) as supervisor:
            for restart in ("temporary", "transient", "temporary"):
                supervisor.start_child(work, restart=restart)
            await supervisor.idle()
        assert (tenant.get(), current_child()) == ("nobody", None)

    run(test)
    assert seen == ["nobody"] * 4


def test_a_cancellation_hits_its_child_and_no_other_however_many_began_together() -> None:
    async def test() -> None:
        cancelled: list[int] = []

        async def work(number: int) -> None:
            if number % 2:
                return
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                cancelled.append(number)
                raise

        async with TaskSupervisor.start() as supervisor:
            children = [started(supervisor.start_child(work, number)) for number in range(20)]
            await settle()
            assert await supervisor.terminate_child(children[4])
            assert not await supervisor.terminate_child(children[5])
            assert (cancelled, supervisor.count) == ([4], 9)

    run(test)


def test_a_child_that_ends_itself_in_its_first_step_is_cancelled_at_its_first_wait() -> None:
    async def test() -> None:
        steps: list[str] = []

        async def work() -> None:
            child = current_child()
            assert child is not None
            child.ask()
            steps.append(child.state)
            await asyncio.sleep(0)
            steps.append("not reached")

        async with TaskSupervisor.start(max_restarts=0) as supervisor:
            child = started(supervisor.start_child(work, restart="permanent"))
            ended = await child.wait()
            assert (str(ended), steps, supervisor.exit) == ("shutdown", ["running"], None)

    run(test)


def test_a_child_that_stops_its_supervisor_in_its_first_step_is_ended_with_the_others() -> None:
    async def test() -> None:
        supervisor = TaskSupervisor.start()

        async def work() -> None:
            supervisor.shutdown()
            await asyncio.get_running_loop().create_future()

        children = [started(supervisor.start_child(work)), started(supervisor.start_child(nothing))]
        assert str(await supervisor.wait()) == "shutdown"
        assert [child.state for child in children] == ["ended", "ended"]

    run(test)


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_what_ends_the_program_goes_through_and_leaves_the_supervisor_whole(
    error: type[BaseException],
) -> None:
    async def work() -> None:
        raise error

    loop = asyncio.new_event_loop()

    async def start() -> tuple[TaskSupervisor, Child]:
        supervisor = TaskSupervisor.start()
        return supervisor, started(supervisor.start_child(work))

    async def end(supervisor: TaskSupervisor, child: Child) -> None:
        assert isinstance((await child.wait()).error, error)
        supervisor.start_child(nothing)
        await supervisor.idle()
        await supervisor.stop()

    supervisor, child = loop.run_until_complete(start())
    with pytest.raises(error):
        loop.run_until_complete(child.wait())
    loop.run_until_complete(end(supervisor, child))
    loop.close()


@needs_eager_tasks
def test_work_that_does_not_wait_is_over_in_the_turn_that_began_it() -> None:
    async def test() -> None:
        async with TaskSupervisor.start() as supervisor:
            child = started(supervisor.start_child(nothing))
            await asyncio.sleep(0)
            assert child.state == "ended"

    run(test)


def test_an_app_that_makes_its_own_tasks_is_asked_for_them() -> None:
    made: list[str] = []

    def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        made.append(coroutine.__name__)
        return asyncio.Task(coroutine, loop=loop, **options)

    async def test() -> None:
        asyncio.get_running_loop().set_task_factory(factory)
        async with TaskSupervisor.start() as supervisor:
            await started(supervisor.start_child(nothing)).wait()
        assert "nothing" in made

    run(test)


@needs_eager_tasks
def test_children_that_take_long_do_not_hold_up_the_loop_for_a_whole_burst() -> None:
    async def test() -> None:
        turns_before_the_last: list[int] = []
        turns = 0

        async def burn() -> None:
            end = perf_counter() + SLICE_S
            while perf_counter() < end:
                pass
            turns_before_the_last.append(turns)

        async with TaskSupervisor.start() as supervisor:
            for _ in range(4 * STARTS_PER_LOOK):
                supervisor.start_child(burn)
            while supervisor.count:
                await asyncio.sleep(0)
                turns += 1
        assert turns_before_the_last[-1] >= 3

    run(test)


def test_a_monitor_that_raises_stops_nobody_else() -> None:
    async def test() -> None:
        def fails(_exit: object) -> None:
            raise RuntimeError("monitor")

        async with TaskSupervisor.start() as supervisor:
            started(supervisor.start_child(nothing)).monitor(fails)
            others = [started(supervisor.start_child(nothing)) for _ in range(3)]
            await supervisor.idle()
            assert [str(child.exit) for child in others] == ["normal"] * 3

    run(test)


def test_a_crash_log_hides_secrets_and_names_the_ancestors(caplog: pytest.LogCaptureFixture) -> None:
    async def sign_in(user: str, password: str) -> None:
        raise PermissionError(user + " with " + "*" * len(password))

    async def test() -> None:
        tasks = ChildSpec("tasks", lambda: TaskSupervisor.start(name="sign-ins"))
        inner = ChildSpec("web", lambda: Supervisor.start([tasks], name="web"))
        async with Supervisor.start([inner], name="app"):
            supervisor = unlinked_or(TaskSupervisor, "sign-ins")
            await started(supervisor.start_child(sign_in, "ann", "hunter2")).wait()

    run(test)
    assert "sign_in('ann', [hidden]) under sign-ins under web under app crashed in attempt 1" in caplog.text
    assert "hunter2" not in caplog.text


def unlinked_or(kind: type[TaskSupervisor], name: str) -> TaskSupervisor:
    from inprocess import whereis

    process = whereis(name)
    assert isinstance(process, kind)
    return process


def test_telemetry_tells_of_each_attempt_and_costs_nothing_where_nobody_listens() -> None:
    told: list[tuple[str, int]] = []
    durations: list[bool] = []

    def handler(event: tuple[str, ...], numbers: Mapping[str, float], about: Mapping[str, Any]) -> None:
        told.append((event[-1], about["attempt"]))
        durations.append("duration" in numbers)

    async def fails_once() -> None:
        child = current_child()
        assert child is not None
        if child.attempt == 1:
            raise ValueError

    async def test() -> None:
        telemetry.attach("test", [("task", "start"), ("task", "stop"), ("task", "exception")], handler)
        try:
            async with TaskSupervisor.start() as supervisor:
                await started(supervisor.start_child(fails_once, restart="transient")).wait()
        finally:
            telemetry.detach("test")

    run(test)
    assert told == [("start", 1), ("exception", 1), ("start", 2), ("stop", 2)]
    assert durations == [False, True, False, True]


def test_the_restarts_are_counted() -> None:
    async def test() -> None:
        clock = FakeClock()

        async def fails() -> None:
            raise ValueError

        async with TaskSupervisor.start(clock=clock) as supervisor:
            supervisor.start_child(fails, restart="transient", backoff=Backoff(initial_s=10.0, jitter=0.0))
            await clock.advance(35.0)
            assert supervisor.restarts == 3

    run(test)


def test_each_place_that_calls_task_start_is_named_with_its_own_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fails() -> None:
        raise ValueError

    async def test() -> None:
        first = started(Task.start(fails))
        second = started(Task.start(fails))
        lines = [int(str(child.asked_for_by).rpartition(":")[2]) for child in (first, second)]
        assert lines[1] == lines[0] + 1
        repeated = []
        for _ in range(2):
            repeated.append(started(Task.start(fails)).options)  # noqa: PERF401 - a comprehension has its own code
        assert repeated[0] is repeated[1]
        assert repeated[0] is not first.options
        await unlinked(asyncio.get_running_loop()).idle()

    run(test)
    assert caplog.text.count("asked for by test at") == 4
