"""A bound of what runs at once, with a line for the others. A model holds the states, beside this file."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from typing import Any

import pytest

from inprocess import Backoff, Child, Refused, TaskSupervisor, drain, snapshot, telemetry
from inprocess.supervision.isolation import isolation
from inprocess.testing import FakeClock, settle


async def never() -> None:
    await asyncio.Event().wait()


def test_at_most_so_many_run_at_once_in_the_order_in_which_they_came() -> None:
    async def main() -> None:
        at_once, most, order = 0, 0, []

        async def work(number: int) -> None:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            order.append(number)
            await asyncio.sleep(0.001 * (number % 3))
            at_once -= 1

        async with TaskSupervisor.start(max_running=3) as tasks:
            for number in range(50):
                assert isinstance(tasks.start_child(work, number), Child)
            await tasks.idle()
            assert tasks.counts["done"] == 50
        assert most == 3
        assert order == list(range(50))

    asyncio.run(main())


def test_a_full_line_refuses_visibly_and_takes_more_as_soon_as_a_place_is_free(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        async with TaskSupervisor.start(name="mails", max_running=2, queue=1) as tasks:
            children = [tasks.start_child(never) for _ in range(4)]
            refused = children.pop()
            assert isinstance(refused, Refused)
            assert refused == Refused(
                "queue_full",
                "mails runs at most 2 children at once and its queue of 1 is full: try again later, or raise "
                "queue= or max_running=",
            )
            await settle()
            seen = snapshot("mails").roots[0]
            assert [child.state for child in seen.children] == ["running", "running", "waiting"]
            assert seen.counts == {
                "started": 3, "done": 0, "failed": 0, "given_up": 0, "refused": 1, "waiting": 1
            }  # fmt: skip
            first = children[0]
            assert isinstance(first, Child)
            await tasks.terminate_child(first)
            await settle()
            assert isinstance(tasks.start_child(never), Child)

    asyncio.run(main())
    assert "queue of 1 is full" in caplog.text


def test_telemetry_tells_how_long_a_child_waited_and_what_was_refused() -> None:
    events: list[tuple[str, Mapping[str, float], Mapping[str, Any]]] = []
    telemetry.attach(
        "bounds",
        [("task", "start"), ("task", "refused")],
        lambda event, numbers, about: events.append((event[1], numbers, about)),
    )

    async def main() -> None:
        clock = FakeClock()
        async with TaskSupervisor.start(max_running=1, queue=1, clock=clock) as tasks:
            for _ in range(3):
                tasks.start_child(never)
            await settle()
            await clock.advance(7.0)
            first = tasks.children()[0]
            await tasks.terminate_child(first)
            await settle()

    try:
        asyncio.run(main())
    finally:
        telemetry.detach("bounds")
    assert [event for event, *_ in events] == ["refused", "start", "start"]
    assert events[0][2]["reason"] == "queue_full"
    assert [numbers["waited"] for _, numbers, _ in events[1:]] == [0.0, 7.0]


def test_a_child_that_backs_off_gives_its_place_to_another_and_joins_the_end_of_the_line() -> None:
    async def main() -> None:
        order: list[str] = []
        clock = FakeClock()

        async def work(name: str) -> None:
            order.append(name)
            if order == ["bad"]:
                raise ValueError("once")
            await asyncio.sleep(0)

        async with TaskSupervisor.start(max_running=1, clock=clock) as tasks:
            backoff = Backoff(initial_s=1.0, jitter=0.0)
            tasks.start_child(work, "bad", restart="transient", backoff=backoff)
            blocker = tasks.start_child(never)
            assert isinstance(blocker, Child)
            await clock.advance(2.0)
            assert (blocker.state, order) == ("running", ["bad"])
            tasks.start_child(work, "other")
            await tasks.terminate_child(blocker)
            await clock.advance(1.0)
            assert order == ["bad", "bad", "other"]

    asyncio.run(main())


def test_a_drain_waits_for_the_line_and_names_what_still_waits_in_it() -> None:
    async def main() -> None:
        async with TaskSupervisor.start(name="quick", max_running=1) as tasks:
            for _ in range(5):
                tasks.start_child(asyncio.sleep, 0.01)
            assert str(await drain(tasks, grace_s=10.0)) == "drained: 5 ended, none cut off"
        tasks = TaskSupervisor.start(name="slow", max_running=1)
        tasks.start_child(never, name="holds the place")
        tasks.start_child(never, name="waits")
        report = await drain(tasks, grace_s=0.05)
        assert {(cut.name, cut.state) for cut in report.cut_off} == {
            ("holds the place", "running"), ("waits", "waiting")
        }  # fmt: skip

    asyncio.run(main())


def test_children_that_were_ended_while_they_waited_leave_no_gap() -> None:
    async def main() -> None:
        async with TaskSupervisor.start(max_running=1, queue=2) as tasks:
            running, *waiting = [tasks.start_child(never) for _ in range(3)]
            assert isinstance(running, Child)
            await settle()
            for child in waiting:
                assert isinstance(child, Child)
                await tasks.terminate_child(child)
            assert tasks.count == 1
            more = [tasks.start_child(never) for _ in range(3)]
            assert [type(child) for child in more] == [Child, Child, Refused]
            await tasks.terminate_child(running)
            await settle()
            assert [child.state for child in tasks.children()] == ["running", "waiting"]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_running": 0}, "max_running is 0: expected a whole number of at least 1"),
        ({"max_running": 1.5}, "max_running is 1.5"),
        ({"max_running": "2"}, "max_running is '2'"),
        ({"max_running": 2, "queue": -1}, "queue is -1: expected a whole number of at least 0"),
        ({"queue": 5}, "queue without max_running: nothing ever waits"),
    ],
)
def test_a_bound_that_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match=message):
            TaskSupervisor.start(**options)

    asyncio.run(main())


def test_a_child_that_waits_for_a_thread_says_so_and_one_that_has_it_runs() -> None:
    async def main() -> None:
        free = threading.Event()
        async with TaskSupervisor.start(name="threads") as tasks:
            children = [tasks.start_child(free.wait) for _ in range(3)]
            await _until(lambda: len(isolation._threads.running()) == 2)
            assert sorted(child.state for child in children if isinstance(child, Child)) == [
                "running", "running", "waiting"
            ]  # fmt: skip
            free.set()
            await tasks.idle()

    isolation.set_limits(threads=2)
    try:
        asyncio.run(main())
    finally:
        isolation.set_limits(threads=isolation.THREADS)


async def _until(is_so: Any) -> None:
    end = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < end
        await asyncio.sleep(0.005)
