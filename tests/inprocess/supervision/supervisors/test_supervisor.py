from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from inprocess import (
    AlreadyStartedError,
    ChildSpec,
    Exit,
    GenServer,
    Restart,
    StartError,
    Strategy,
    Supervisor,
    TaskSupervisor,
    whereis,
)
from inprocess.testing import FakeClock, settle


class Journal:
    """What a tree's servers did, in order, and which of them refuse to start."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.refusing: dict[str, int] = {}

    def spec(self, child_id: str, restart: Restart = "permanent", **options: Any) -> ChildSpec:
        return ChildSpec(child_id, partial(Noted.start, self, child_id, name=child_id), restart, **options)

    def take(self) -> list[str]:
        lines, self.lines = self.lines, []
        return lines


class Noted(GenServer):
    """Notes its start and its end."""

    async def init(self, journal: Journal, child_id: str) -> None:
        self.journal, self.child_id = journal, child_id
        await asyncio.sleep(0)
        if journal.refusing.get(child_id, 0) > 0:
            journal.refusing[child_id] -= 1
            raise RuntimeError(f"{child_id} refuses")
        journal.lines.append(f"+{child_id}")

    async def handle_cast(self, message: Any, /) -> None:
        if isinstance(message, BaseException):
            raise message
        await asyncio.get_running_loop().create_future()

    def terminate(self, ended: Exit, /) -> None:
        self.journal.lines.append(f"-{self.child_id} {ended.kind}")


async def crash(name: str) -> None:
    process = whereis(name)
    assert isinstance(process, GenServer)
    process.cast(ValueError(name))
    await settle()


def run(test: Callable[[Journal], Awaitable[Any]]) -> None:
    async def main() -> None:
        await test(Journal())

    asyncio.run(main())


def test_children_start_left_to_right_and_stop_in_reverse() -> None:
    async def test(journal: Journal) -> None:
        async with Supervisor.start([journal.spec(name) for name in "abc"]) as supervisor:
            assert [child_id for child_id, _ in supervisor.which_children()] == ["a", "b", "c"]
            assert journal.take() == ["+a", "+b", "+c"]
        assert journal.take() == ["-c shutdown", "-b shutdown", "-a shutdown"]

    run(test)


def test_a_child_that_cannot_start_stops_those_before_it_and_is_named() -> None:
    async def test(journal: Journal) -> None:
        journal.refusing["c"] = 1
        supervisor = Supervisor.start([journal.spec(name) for name in "abcd"], name="tree")
        with pytest.raises(StartError, match=r"tree: child 'c' could not start: .*c refuses"):
            await supervisor.ready()
        assert journal.take() == ["+a", "+b", "-b shutdown", "-a shutdown"]
        assert (await supervisor.wait()).kind == "crash"

    run(test)


def test_duplicate_ids_are_refused() -> None:
    async def test(journal: Journal) -> None:
        with pytest.raises(ValueError, match="two children have the id 'a'"):
            Supervisor.start([journal.spec("a"), journal.spec("a")])
        assert journal.take() == []

    run(test)


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("one_for_one", ["-b crash", "+b"]),
        ("one_for_all", ["-b crash", "-c shutdown", "-a shutdown", "+a", "+b", "+c"]),
        ("rest_for_one", ["-b crash", "-c shutdown", "+b", "+c"]),
    ],
)
def test_a_crash_restarts_those_that_the_strategy_names_and_counts_once(
    strategy: Strategy, expected: list[str]
) -> None:
    async def test(journal: Journal) -> None:
        specs = [journal.spec(name) for name in "abc"]
        async with Supervisor.start(
            specs, strategy=strategy, max_restarts=1, clock=FakeClock()
        ) as supervisor:
            journal.take()
            await crash("b")
            assert (journal.take(), supervisor.exit) == (expected, None)

    run(test)


def test_a_temporary_child_is_not_restarted_by_its_siblings_either() -> None:
    async def test(journal: Journal) -> None:
        specs = [journal.spec("a"), journal.spec("b", "temporary")]
        async with Supervisor.start(specs, strategy="one_for_all") as supervisor:
            journal.take()
            await crash("a")
            assert journal.take() == ["-a crash", "-b shutdown", "+a"]
            assert [child_id for child_id, _ in supervisor.which_children()] == ["a"]

    run(test)


def test_a_transient_child_that_shuts_down_stays_away_and_keeps_its_place() -> None:
    async def test(journal: Journal) -> None:
        async with Supervisor.start([journal.spec("a", "transient")]) as supervisor:
            process = whereis("a")
            assert process is not None
            process.shutdown()
            await settle()
            assert supervisor.which_children() == [("a", None)]

    run(test)


def test_a_failed_start_during_a_restart_counts_and_is_tried_again_at_once() -> None:
    async def test(journal: Journal) -> None:
        clock = FakeClock()
        async with Supervisor.start([journal.spec("a")], max_restarts=3, clock=clock) as supervisor:
            journal.refusing["a"] = 2
            await crash("a")
            assert (journal.take(), supervisor.exit) == (["+a", "-a crash", "+a"], None)
            await crash("a")  # the fourth restart
            assert str(supervisor.exit) == "shutdown"

    run(test)


def test_past_its_intensity_it_stops_the_others_in_reverse_and_exits_with_shutdown(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test(journal: Journal) -> None:
        specs = [journal.spec(name) for name in "abc"]
        supervisor = Supervisor.start(specs, max_restarts=0, name="tree")
        await supervisor.ready()
        journal.take()
        await crash("b")
        assert journal.take() == ["-b crash", "-c shutdown", "-a shutdown"]
        assert str(supervisor.exit) == "shutdown"

    run(test)
    assert "tree reached its restart intensity" in caplog.text


@pytest.mark.parametrize(("restart", "comes_back"), [("permanent", True), ("transient", False)])
def test_a_parent_restarts_a_supervisor_that_gave_up_only_if_it_is_permanent(
    restart: Restart, *, comes_back: bool
) -> None:
    async def test(journal: Journal) -> None:
        inner = partial(Supervisor.start, [journal.spec("a")], max_restarts=0, name="inner")
        async with Supervisor.start([ChildSpec("inner", inner, restart)]):
            await crash("a")
            assert (whereis("inner") is not None) == comes_back
            assert journal.take() == ["+a", "-a crash", *["+a"] * comes_back]

    run(test)


def test_a_task_supervisor_that_gave_up_comes_back_under_its_name() -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError

    async def test(_journal: Journal) -> None:
        spec = ChildSpec("tasks", partial(TaskSupervisor.start, name="tasks", max_restarts=0))
        async with Supervisor.start([spec]):
            first = whereis("tasks")
            assert isinstance(first, TaskSupervisor)
            first.start_child(fail, restart="transient")
            await settle()
            assert whereis("tasks") not in (None, first)

    run(test)


def test_children_may_be_added_and_removed_at_run_time() -> None:
    async def test(journal: Journal) -> None:
        async with Supervisor.start() as supervisor:
            process = await supervisor.start_child(journal.spec("a"))
            assert whereis("a") is process
            with pytest.raises(AlreadyStartedError, match="has a child 'a' already"):
                await supervisor.start_child(journal.spec("a"))
            journal.refusing["b"] = 1
            with pytest.raises(StartError, match="b refuses"):
                await supervisor.start_child(journal.spec("b"))
            await supervisor.terminate_child("a")
            assert journal.take() == ["+a", "-a shutdown"]

    run(test)


def test_a_worker_that_does_not_end_is_killed_at_its_limit() -> None:
    async def test(journal: Journal) -> None:
        clock = FakeClock()
        supervisor = Supervisor.start([journal.spec("a", shutdown=3.0)], clock=clock)
        await supervisor.ready()
        process = whereis("a")
        assert isinstance(process, GenServer)
        process.__process__.scheduler = supervisor.scheduler
        process.cast("hang")
        await settle()
        stopping = asyncio.ensure_future(supervisor.stop())
        await clock.advance(2.9)
        assert process.exit is None
        await clock.advance(0.2)
        await stopping
        assert (str(process.exit), journal.take()) == ("killed", ["+a"])

    run(test)


def test_brutal_kill_ends_a_worker_without_terminate() -> None:
    async def test(journal: Journal) -> None:
        async with Supervisor.start([journal.spec("a", shutdown="brutal_kill")]):
            pass
        assert journal.take() == ["+a"]

    run(test)


def test_killing_a_supervisor_kills_its_children() -> None:
    async def test(journal: Journal) -> None:
        supervisor = Supervisor.start([journal.spec("a")])
        await supervisor.ready()
        await supervisor.stop("brutal_kill")
        assert whereis("a") is None

    run(test)
