from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from inprocess import (
    AlreadyStartedError,
    Backoff,
    Child,
    Refused,
    RestartIntensity,
    Shutdown,
    TaskSupervisor,
    current_attempt,
    current_child,
    whereis,
)
from inprocess.testing import FakeClock, settle


class Work:
    """An async function that a test drives: each attempt waits for the test to say how it ends."""

    def __init__(self) -> None:
        self.attempts = 0
        self._outcome: asyncio.Future[str] | None = None

    async def __call__(self) -> str:
        self.attempts += 1
        self._outcome = asyncio.get_running_loop().create_future()
        return await self._outcome

    async def finish(self) -> None:
        await settle()
        assert self._outcome is not None
        self._outcome.set_result("done")
        await settle()

    async def crash(self, error: BaseException | None = None) -> None:
        await settle()
        assert self._outcome is not None
        self._outcome.set_exception(error or ValueError("no"))
        await settle()


async def ignore_cancellation() -> None:
    while True:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            continue


def started(child: Child | Refused) -> Child:
    assert isinstance(child, Child)
    return child


def run(test: Callable[[], Awaitable[Any]]) -> None:
    async def main() -> None:
        await test()

    asyncio.run(main())


def test_start_child_returns_before_the_work_begins_and_keeps_the_child_until_it_ends() -> None:
    async def test() -> None:
        work = Work()
        async with TaskSupervisor.start() as supervisor:
            child = started(supervisor.start_child(work))
            assert (work.attempts, child.state, supervisor.children()) == (0, "waiting", [child])
            await settle()
            assert (work.attempts, child.state) == (1, "running")
            await work.finish()
            assert (child.state, str(child.exit), supervisor.count) == ("ended", "normal", 0)

    run(test)


def test_the_default_is_temporary_and_is_not_restarted(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        work = Work()
        async with TaskSupervisor.start(name="jobs") as supervisor:
            child = started(supervisor.start_child(work, name="job-1"))
            await work.crash()
            assert (work.attempts, child.state) == (1, "ended")

    run(test)
    assert "job-1" in caplog.text
    assert "under jobs crashed in attempt 1: ValueError('no')" in caplog.text


def test_a_transient_child_comes_back_after_a_crash_and_stays_away_after_its_work() -> None:
    async def test() -> None:
        work = Work()
        async with TaskSupervisor.start() as supervisor:
            child = started(supervisor.start_child(work, restart="transient"))
            await work.crash()
            assert (child.attempt, child.state) == (2, "running")
            await work.finish()
            assert (work.attempts, str(child.exit)) == (2, "normal")

    run(test)


def test_a_transient_child_that_raises_shutdown_has_ended_well(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        work = Work()
        async with TaskSupervisor.start() as supervisor:
            child = started(supervisor.start_child(work, restart="transient"))
            await work.crash(Shutdown())
            assert str(child.exit) == "shutdown"

    run(test)
    assert caplog.records == []


def test_a_permanent_child_comes_back_whatever_its_exit_and_each_time_counts() -> None:
    async def test() -> None:
        work = Work()
        supervisor = TaskSupervisor.start(clock=FakeClock(), max_restarts=1)
        supervisor.start_child(work, restart="permanent")
        await work.finish()
        assert work.attempts == 2
        await work.finish()
        assert str(supervisor.exit) == "shutdown"

    run(test)


def test_a_task_that_somebody_else_cancels_counts_as_killed() -> None:
    async def test() -> None:
        work = Work()
        async with TaskSupervisor.start() as supervisor:
            child = started(supervisor.start_child(work, restart="transient"))
            await settle()
            assert child.task is not None
            child.task.cancel()
            await settle()
            assert (child.attempt, child.state) == (2, "running")

    run(test)


def test_past_the_shared_window_the_supervisor_stops_the_others_and_exits_with_shutdown(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> None:
        clock, bad, good = FakeClock(), Work(), Work()
        supervisor = TaskSupervisor.start(name="shared", clock=clock)
        bystander = started(supervisor.start_child(good, restart="transient"))
        culprit = started(supervisor.start_child(bad, restart="transient"))
        for _ in range(3):
            await bad.crash()
            assert supervisor.exit is None
        await bad.crash()
        assert (str(supervisor.exit), str(bystander.exit)) == ("shutdown", "shutdown")
        assert (culprit.exit is not None, culprit.attempt, whereis("shared")) == (True, 4, None)
        refused = supervisor.start_child(good)
        assert isinstance(refused, Refused)
        assert refused.reason == "not_running"

    run(test)
    assert "shared reached its restart intensity, more than 3 restarts in 5 s" in caplog.text


def test_restarts_that_are_far_enough_apart_never_run_the_window_out() -> None:
    async def test() -> None:
        clock, work = FakeClock(), Work()
        async with TaskSupervisor.start(clock=clock) as supervisor:
            child = started(supervisor.start_child(work, restart="transient"))
            for _ in range(20):
                await work.crash()
                await clock.advance(1.7)
            assert (child.attempt, supervisor.exit) == (21, None)

    run(test)


def test_a_window_of_its_own_ends_only_its_child_and_calls_the_hook(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        clock, bad, good, told = FakeClock(), Work(), Work(), []
        supervisor = TaskSupervisor.start(clock=clock, max_restarts=0)
        bystander = started(supervisor.start_child(good, restart="transient"))
        child = started(
            supervisor.start_child(
                bad,
                restart="transient",
                intensity=RestartIntensity(2, 5.0),
                on_give_up=lambda child, error: told.append((child, repr(error))),
            )
        )
        for _ in range(3):
            await bad.crash()
        assert told == [(child, "ValueError('no')")]
        assert (child.attempt, child.state, bystander.state, supervisor.exit) == (3, "ended", "running", None)
        await supervisor.stop()

    run(test)
    assert "was given up after 3 attempts: its own restart intensity is reached" in caplog.text


def test_a_hook_that_fails_is_logged_and_ends_nobody(caplog: pytest.LogCaptureFixture) -> None:
    def hook(_child: Child, _error: BaseException | None) -> None:
        raise RuntimeError("hook")

    async def test() -> None:
        work = Work()
        async with TaskSupervisor.start() as supervisor:
            supervisor.start_child(
                work, restart="transient", intensity=RestartIntensity(0, 1.0), on_give_up=hook
            )
            await work.crash()
            assert (supervisor.count, supervisor.exit) == (0, None)

    run(test)
    assert "on_give_up of" in caplog.text


def test_a_child_backs_off_and_is_held_meanwhile() -> None:
    async def test() -> None:
        clock, work = FakeClock(), Work()
        backoff = Backoff(initial_s=2.0, factor=2.0, max_s=60.0, jitter=0.0)
        async with TaskSupervisor.start(clock=clock) as supervisor:
            child = started(supervisor.start_child(work, restart="transient", backoff=backoff))
            await work.crash()
            await clock.advance(1.9)
            assert (child.state, work.attempts, supervisor.held()) == ("backing off", 1, [child])
            await clock.advance(0.2)
            assert (child.state, work.attempts) == ("running", 2)
            await work.crash()
            await clock.advance(3.9)
            assert work.attempts == 2
            await clock.advance(0.2)
            assert work.attempts == 3

    run(test)


def test_an_attempt_that_lived_longer_than_the_bound_begins_the_back_off_again() -> None:
    async def test() -> None:
        clock, work = FakeClock(), Work()
        backoff = Backoff(initial_s=1.0, factor=10.0, max_s=10.0, jitter=0.0)
        async with TaskSupervisor.start(clock=clock) as supervisor:
            supervisor.start_child(work, restart="transient", backoff=backoff)
            await work.crash()
            await clock.advance(1.0)
            await clock.advance(11.0)
            await work.crash()
            await clock.advance(1.0)
            assert work.attempts == 3

    run(test)


def test_terminating_a_child_in_back_off_ends_it_and_its_timer() -> None:
    async def test() -> None:
        clock, work = FakeClock(), Work()
        async with TaskSupervisor.start(clock=clock) as supervisor:
            child = started(supervisor.start_child(work, restart="transient", backoff=Backoff()))
            await work.crash()
            assert clock.pending == 1
            assert await supervisor.terminate_child(child)
            assert (child.state, clock.pending, supervisor.count) == ("ended", 0, 0)
            assert not await supervisor.terminate_child(child)

    run(test)


def test_a_supervisor_terminates_no_child_of_another() -> None:
    async def test() -> None:
        work = Work()
        async with TaskSupervisor.start() as own, TaskSupervisor.start() as other:
            child = started(own.start_child(work))
            await settle()
            assert not await other.terminate_child(child)
            assert (child.state, child.exit, own.count) == ("running", None, 1)

    run(test)


def test_terminating_a_running_child_cancels_it_and_does_not_count_as_a_crash(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> None:
        work = Work()
        async with TaskSupervisor.start(max_restarts=0) as supervisor:
            child = started(supervisor.start_child(work, restart="permanent"))
            await settle()
            assert await supervisor.terminate_child(child)
            assert (str(child.exit), supervisor.exit) == ("shutdown", None)

    run(test)
    assert caplog.records == []


def test_a_child_that_is_terminated_before_its_turn_never_begins() -> None:
    async def test() -> None:
        work = Work()
        async with TaskSupervisor.start() as supervisor:
            child = started(supervisor.start_child(work))
            assert await supervisor.terminate_child(child)
            await settle()
            assert work.attempts == 0

    run(test)


def test_past_max_children_an_error_value_says_so() -> None:
    async def test() -> None:
        first, second = Work(), Work()
        async with TaskSupervisor.start(name="small", max_children=1) as supervisor:
            supervisor.start_child(first)
            refused = supervisor.start_child(second)
            assert isinstance(refused, Refused)
            assert (refused.reason, "small has 1 children" in refused.text) == ("max_children", True)
            await first.finish()
            assert isinstance(supervisor.start_child(second), Child)

    run(test)


def test_arguments_that_do_not_fit_are_a_crash_of_the_child() -> None:
    async def takes_one(_argument: int) -> None:
        raise AssertionError

    async def test() -> None:
        async with TaskSupervisor.start() as supervisor:
            function: Callable[..., object] = takes_one
            child = started(supervisor.start_child(function, 1, 2))
            ended = await child.wait()
            assert isinstance(ended.error, TypeError)

    run(test)


def test_a_misspelt_restart_value_is_refused_at_once() -> None:
    async def test() -> None:
        async with TaskSupervisor.start() as supervisor:
            with pytest.raises(ValueError, match="restart is 'transiet': expected one of permanent"):
                supervisor.start_child(Work(), restart="transiet")  # type: ignore[arg-type]

    run(test)


def test_the_work_knows_its_attempt_and_its_child_in_threads_as_well() -> None:
    seen: list[tuple[int, str]] = []

    def plain() -> None:
        child = current_child()
        assert child is not None
        seen.append((current_attempt(), child.name))
        if len(seen) < 2:
            raise ValueError

    async def test() -> None:
        async with TaskSupervisor.start() as supervisor:
            child = started(supervisor.start_child(plain, name="p", restart="transient"))
            await child.wait()

    assert (current_attempt(), current_child()) == (1, None)
    run(test)
    assert seen == [(1, "p"), (2, "p")]


def test_a_plain_function_runs_off_the_loop() -> None:
    async def test() -> None:
        names: list[int] = []
        async with TaskSupervisor.start() as supervisor:
            child = started(supervisor.start_child(lambda: names.append(threading.get_ident())))
            await child.wait()
        assert names != [threading.get_ident()]

    run(test)


def test_a_plain_function_that_makes_a_coroutine_is_told_what_to_do() -> None:
    async def test() -> None:
        async with TaskSupervisor.start() as supervisor:
            child = started(supervisor.start_child(lambda: asyncio.sleep(0)))
            ended = await child.wait()
        assert "pass the async function" in str(ended.error)

    run(test)


def test_each_child_has_the_context_of_who_asked_for_it() -> None:
    from contextvars import ContextVar

    tenant: ContextVar[str] = ContextVar("tenant")
    seen: list[str] = []

    async def work() -> None:
        seen.append(tenant.get())

    async def test() -> None:
        async with TaskSupervisor.start() as supervisor:
            for name in ("a", "b"):
                tenant.set(name)
                supervisor.start_child(work)
            await supervisor.idle()

    run(test)
    assert seen == ["a", "b"]


def test_a_thousand_children_are_started_in_order_and_none_is_lost() -> None:
    seen: list[int] = []

    async def work(number: int) -> None:
        seen.append(number)

    async def test() -> None:
        async with TaskSupervisor.start() as supervisor:
            for number in range(1000):
                supervisor.start_child(work, number)
            await supervisor.idle()

    run(test)
    assert seen == list(range(1000))


def test_start_child_works_from_another_thread() -> None:
    async def test() -> None:
        work = Work()
        async with TaskSupervisor.start(max_children=1) as supervisor:
            child = await asyncio.to_thread(supervisor.start_child, work)
            assert isinstance(child, Child)
            refused = await asyncio.to_thread(supervisor.start_child, work)
            assert isinstance(refused, Refused)
            assert supervisor.children() == [child]

    run(test)


def test_start_child_from_a_thread_is_refused_where_the_loop_is_closed() -> None:
    async def make() -> TaskSupervisor:
        return TaskSupervisor.start()

    supervisor = asyncio.run(make())
    refused: list[object] = []

    caller = threading.Thread(target=lambda: refused.append(supervisor.start_child(Work())))
    caller.start()
    caller.join()

    assert isinstance(refused[0], Refused)
    assert refused[0].reason == "not_running"


def test_a_loop_that_does_not_answer_starts_nothing_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inprocess.supervision.core.thread_bridge.HOP_TIMEOUT_S", 0.01)

    async def test() -> None:
        work, answers = Work(), []
        async with TaskSupervisor.start() as supervisor:
            caller = threading.Thread(target=lambda: answers.append(supervisor.start_child(work)))
            caller.start()
            caller.join()  # the loop is held meanwhile
            await settle()
            (refused,) = answers
            assert isinstance(refused, Refused)
            assert refused.reason == "no_answer"
            assert (work.attempts, supervisor.count) == (0, 0)

    run(test)


def test_a_child_that_ignores_its_cancellation_is_abandoned_and_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> None:
        clock = FakeClock()
        supervisor = TaskSupervisor.start(clock=clock)
        child = started(supervisor.start_child(ignore_cancellation, name="stubborn", shutdown=2.0))
        await settle()
        stopping = asyncio.ensure_future(supervisor.stop())
        await clock.advance(1.9)
        assert child.state == "running"
        await clock.advance(1.0)
        await stopping
        assert (child.state, str(supervisor.exit)) == ("abandoned", "shutdown")

    with caplog.at_level(logging.ERROR, logger="inprocess"):
        run(test)  # and asyncio.run does not wait for it either
    assert "stubborn: ignore_cancellation() ignored its cancellation and was abandoned" in caplog.text


def test_stopping_stops_all_children_at_once_each_within_its_own_limit() -> None:
    async def test() -> None:
        clock = FakeClock()
        supervisor = TaskSupervisor.start(clock=clock)
        brutal = started(supervisor.start_child(ignore_cancellation, shutdown="brutal_kill"))
        slow = started(supervisor.start_child(ignore_cancellation, shutdown=10.0))
        await settle()
        stopping = asyncio.ensure_future(supervisor.stop())
        await clock.advance(1.0)
        assert (brutal.state, slow.state) == ("abandoned", "running")
        await clock.advance(10.0)
        await stopping
        assert slow.state == "abandoned"

    run(test)


def test_a_name_is_unique_while_its_owner_runs() -> None:
    async def test() -> None:
        async with TaskSupervisor.start(name="one") as supervisor:
            assert whereis("one") is supervisor
            with pytest.raises(AlreadyStartedError, match="'one' is taken by a running TaskSupervisor"):
                TaskSupervisor.start(name="one")
        assert whereis("one") is None

    run(test)
