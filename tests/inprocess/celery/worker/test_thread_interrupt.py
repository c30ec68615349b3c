"""Errors raised in a task's thread: in its function, and never in what comes after that."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from celery import Task
from celery.exceptions import SoftTimeLimitExceeded, WorkerLostError

from inprocess.celery import InProcess
from inprocess.celery.worker.thread_interrupt import Interruptible, Stopped, mark_function, unmark_function

#: Seconds of a soft limit.
LIMIT_S = 0.1


def spin(seconds: float) -> None:
    """Run bytecodes, between any two of which an error may arrive."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


class Calling(Task[Any, Any]):
    """A class with a `__call__` of its own, as celery-once's and many a project's."""

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.run(*args, **kwargs)


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("base", [Task, Calling])
def test_a_limit_that_is_over_when_the_function_has_ended_changes_nothing(
    base: Any, app: Any, got: Callable[[Any], Any], caplog: pytest.LogCaptureFixture
) -> None:
    arrived: list[BaseException] = []

    class Slow(base):  # type: ignore[misc] # either
        def on_success(self, *_: Any) -> None:
            try:
                spin(3 * LIMIT_S)
            except BaseException as error:
                arrived.append(error)
                raise

    @app.task(base=Slow, soft_time_limit=LIMIT_S)
    def quick() -> str:
        return "done"

    result = quick.delay()
    assert got(result) == "done"
    time.sleep(4 * LIMIT_S)
    assert arrived == []
    assert result.state == "SUCCESS"
    assert "time limit" not in caplog.text


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("task_class", ["plain", "with a call of its own", "with autoretry"])
def test_a_limit_is_raised_in_the_function_of_any_kind_of_task(
    task_class: str, app: Any, got: Callable[[Any], Any]
) -> None:
    options: dict[str, Any] = {"base": Calling} if task_class.endswith("own") else {}
    if task_class.endswith("autoretry"):
        options = {"autoretry_for": (KeyError,), "max_retries": 0}

    @app.task(soft_time_limit=LIMIT_S, **options)
    def slow(depth: int) -> Any:
        if depth:
            return slow.run(depth - 1)  # a function that calls itself: only the outermost ends the work
        spin(0.01)
        return None

    @app.task(soft_time_limit=LIMIT_S, name="slow after itself", **options)
    def slow_after(depth: int) -> str:
        if not depth:
            return "inner"
        slow_after.run(depth - 1)
        try:
            spin(60)
        except SoftTimeLimitExceeded:
            return "limited"
        return "never"

    assert got(slow.delay(2)) is None
    assert got(slow_after.delay(1)) == "limited"


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("base", [Task, Calling])
def test_whatever_the_moment_no_task_is_lost_and_no_later_one_is_hit(
    base: Any, app: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Functions that end just when their limit is over, many times."""

    @app.task(soft_time_limit=0.02, base=base)
    def close(seconds: float) -> str:
        spin(seconds)
        return "done"

    @app.task
    def innocent() -> str:
        spin(0.002)
        return "innocent"

    with caplog.at_level(logging.INFO):
        results = []
        for number in range(120):
            results += [close.delay(0.0185 + 0.00003 * (number % 60)), innocent.delay()]
        outcomes = [result.get(timeout=60, propagate=False) for result in results]
    assert all(outcome == "innocent" for outcome in outcomes[1::2])
    kinds = {type(outcome) for outcome in outcomes[::2]}
    assert WorkerLostError not in kinds
    assert kinds <= {str, SoftTimeLimitExceeded}


class Tricky:
    """A lock at which errors arrive: before it is held, and while it is."""

    def __init__(self, work: Interruptible) -> None:
        self.lock = threading.Lock()
        self.work = work
        self.moments = ["before", "while", "after"]

    def __enter__(self) -> None:
        if "before" in self.moments:
            self.moments.remove("before")
            raise Stopped
        self.lock.acquire()
        if "while" in self.moments:
            self.moments.remove("while")
            self.lock.release()
            raise SoftTimeLimitExceeded

    def __exit__(self, *_: object) -> None:
        self.lock.release()
        if "after" in self.moments:
            self.moments.remove("after")
            raise Stopped


def test_an_error_that_arrives_while_the_work_is_closed_keeps_it_neither_open_nor_locked() -> None:
    work = Interruptible()
    with work:
        lock = Tricky(work)
        work._lock = lock  # type: ignore[assignment]  # a stand-in: nothing else brings these moments about
    assert lock.moments == []
    assert not lock.lock.locked()
    assert work.interrupt(Stopped) is False
    spin(0.01)  # nothing is raised here


def test_an_error_that_is_on_its_way_when_the_work_ends_is_withdrawn() -> None:
    for _ in range(200):
        work = Interruptible()
        try:
            with work:
                work.interrupt(SoftTimeLimitExceeded)  # arrives at the next bytecode that looks for it
        except SoftTimeLimitExceeded:
            continue
        spin(0.0001)
    assert work.interrupt(Stopped) is False


def test_a_task_has_its_own_function_again_after_the_run(app: Any, run: InProcess) -> None:
    @app.task
    def one() -> int:
        return 1

    plain = one.run
    assert one.delay().get(timeout=60) == 1
    assert one.run is not plain
    assert one() == 1
    run.stop()
    assert one.run == plain


def test_the_mark_is_set_once(app: Any) -> None:
    @app.task
    def made() -> int:
        return 1

    one = app.tasks[made.name]

    plain = one.run
    mark_function(one)
    marked = one.run
    mark_function(one)
    assert one.run is marked
    assert (one.run(), one()) == (1, 1)
    unmark_function(one)
    assert one.run == plain


def test_a_class_with_a_call_of_its_own_is_back_after_the_mark(app: Any) -> None:
    @app.task(base=Calling)
    def made() -> int:
        return 1

    one = app.tasks[made.name]

    plain = type(one)
    for _ in range(2):
        mark_function(one)
    assert type(one).__mro__[1] is plain
    assert (one.run(), one()) == (1, 1)
    unmark_function(one)
    assert type(one) is plain
