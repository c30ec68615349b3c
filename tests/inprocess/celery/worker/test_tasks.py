"""What an app's tasks see in-process is what they see in a worker."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import celery
import pytest
from celery import VERSION, shared_task, signals
from celery.exceptions import Reject, SoftTimeLimitExceeded, TimeLimitExceeded

PATIENCE_S = 20.0

Got = Callable[[Any], Any]
Make = Callable[..., Any]


@pytest.mark.usefixtures("run")
class TestCalls:
    def test_delay_runs_the_task_and_get_returns_what_it_returned(self, make: Make, got: Got) -> None:
        assert got(make(lambda x, y: x + y, name="add").delay(2, y=3)) == 5

    def test_a_shared_task_runs_on_the_app(self, app: Any, got: Got) -> None:
        @shared_task(name="shared.double")
        def double(x: int) -> int:
            return 2 * x

        assert got(app.tasks["shared.double"].delay(4)) == 8
        assert got(app.send_task("shared.double", (5,))) == 10

    def test_arguments_and_results_go_through_the_serialiser(self, make: Make, got: Got) -> None:
        task = make(lambda x: (type(x["a"]).__name__, x), name="pair")
        assert got(task.delay({"a": (1, 2)})) == ["list", {"a": [1, 2]}]

    def test_plain_arguments_are_a_list_and_no_longer_the_callers(self, app: Any, got: Got) -> None:
        @app.task(bind=True)
        def look(self: Any, *_: Any, **__: Any) -> Any:
            return [type(self.request.args).__name__, self.request.args, self.request.kwargs]

        assert got(look.delay(1, "b", c=None)) == ["list", [1, "b"], {"c": None}]

    def test_the_request_is_that_of_a_worker(self, app: Any, got: Got) -> None:
        @app.task(bind=True)
        def look(self: Any) -> Any:
            request = self.request
            return {
                "id": request.id, "root": request.root_id, "eager": request.is_eager,
                "retries": request.retries,
                "direct": request.called_directly, "headers": request.headers, "info": request.delivery_info,
                "reply": bool(request.reply_to),
            }  # fmt: skip

        result = look.apply_async(task_id="mine", headers={"x": 1}, priority=3, queue="celery")
        assert got(result) == {
            "id": "mine", "root": "mine", "eager": False, "retries": 0, "direct": False, "headers": {"x": 1},
            "info": {"exchange": "", "routing_key": "celery", "priority": 3, "redelivered": False},
            "reply": True,
        }  # fmt: skip

    def test_a_countdown_and_an_eta_are_kept(self, make: Make, got: Got) -> None:
        ran: list[datetime] = []
        task = make(lambda: ran.append(datetime.now(UTC)), name="note")
        begun = datetime.now(UTC)
        got(task.apply_async(countdown=0.2))
        got(task.apply_async(eta=datetime.now(UTC) + timedelta(seconds=0.2)))
        assert ran[0] - begun >= timedelta(seconds=0.2)
        assert ran[1] - ran[0] >= timedelta(seconds=0.2)

    def test_a_task_that_has_expired_is_not_run(self, make: Make, got: Got) -> None:
        ran: list[int] = []
        task = make(lambda: ran.append(1), name="note")
        result = task.apply_async(expires=datetime.now(UTC) - timedelta(seconds=1))
        with pytest.raises(celery.exceptions.TaskRevokedError):
            got(result)
        assert ran == []

    def test_links_are_called_with_what_they_expect(self, make: Make, got: Got) -> None:
        linked, failed = queue.Queue[int](), queue.Queue[str]()
        on = make(lambda value: linked.put(value), name="on")  # noqa: PLW0108 - a method has no name to set
        off = make(lambda _request, exc, _traceback: failed.put(str(exc)), name="off")
        fine = make(lambda: 3, name="fine")
        bad = make(lambda: _raise(ValueError("no")), name="bad")
        got(fine.apply_async(link=on.s()))
        bad.apply_async(link_error=off.s()).get(propagate=False, timeout=PATIENCE_S)
        assert (linked.get(timeout=PATIENCE_S), failed.get(timeout=PATIENCE_S)) == (3, "no")

    def test_an_ignored_result_is_not_kept(self, app: Any, make: Make, got: Got) -> None:
        task = make(lambda: 7, name="seven")
        ignored = task.apply_async(ignore_result=True)
        assert ignored.get() is None
        got(task.delay())
        assert app.AsyncResult(ignored.id).state == "PENDING"

    def test_a_task_that_is_registered_while_the_app_runs_is_found(self, make: Make, got: Got) -> None:
        got(make(lambda: 1, name="first").delay())
        assert got(make(lambda: 2, name="second").delay()) == 2

    def test_what_a_task_of_a_custom_class_does_around_it_is_done(self, make: Make, got: Got) -> None:
        calls: list[str] = []

        class Noting(celery.Task):  # type: ignore[type-arg]  # has no use here
            def __call__(self, *args: Any, **kwargs: Any) -> Any:
                calls.append("call")
                return super().__call__(*args, **kwargs)

            def before_start(self, *_: Any) -> None:
                calls.append("before")

            def on_success(self, *_: Any) -> None:
                calls.append("success")

            def after_return(self, *_: Any) -> None:
                calls.append("after")

        got(make(lambda: 1, base=Noting, name="noting").delay())
        got(make(lambda: 1, name="another").delay())
        assert calls[:3] == ["before", "call", "success"]


@pytest.mark.usefixtures("run")
class TestFailures:
    def test_an_error_comes_back_as_its_own_type(self, make: Make, got: Got) -> None:
        result = make(lambda: dict[int, int]()[1], name="bad").delay()
        with pytest.raises(KeyError):
            got(result)
        assert (result.state, result.failed()) == ("FAILURE", True)
        assert "KeyError" in result.traceback

    def test_retry_runs_it_again_with_its_count(self, app: Any, got: Got) -> None:
        @app.task(bind=True, max_retries=2)
        def twice(self: Any) -> int:
            if self.request.retries < 2:
                raise self.retry(countdown=0)
            return int(self.request.retries)

        assert got(twice.delay()) == 2

    def test_past_max_retries_the_error_is_the_tasks(self, app: Any, got: Got) -> None:
        @app.task(bind=True, max_retries=1)
        def never(self: Any) -> None:
            raise self.retry(exc=KeyError("gone"), countdown=0)

        with pytest.raises(KeyError, match="gone"):
            got(never.delay())

    def test_autoretry_backs_off_and_gives_up(self, app: Any, got: Got) -> None:
        runs: list[int] = []

        @app.task(autoretry_for=(OSError,), retry_backoff=0.01, retry_jitter=False, max_retries=1)
        def flaky() -> None:
            runs.append(1)
            raise OSError("down")

        with pytest.raises(OSError, match="down"):
            got(flaky.delay())
        assert len(runs) == 2

    def test_a_late_acknowledged_task_that_is_rejected_comes_again(self, app: Any, got: Got) -> None:
        @app.task(bind=True, acks_late=True)
        def second_time(self: Any) -> str:
            if not self.request.delivery_info["redelivered"]:
                raise Reject(requeue=True)
            return "second"

        assert got(second_time.delay()) == "second"

    def test_sys_exit_in_a_thread_ends_only_the_task(self, make: Make, got: Got) -> None:
        result = make(lambda: _raise(SystemExit(3)), name="leave").delay()
        with pytest.raises(Exception, match=r"Worker exited prematurely: SystemExit\(3\)"):
            got(result)
        assert got(make(lambda: 1, name="alive").delay()) == 1

    def test_a_crashed_task_obeys_its_restart_value(self, make: Make, got: Got) -> None:
        runs: list[int] = []

        def leaves_once() -> int:
            runs.append(1)
            return len(runs) if len(runs) > 1 else _raise(SystemExit(3))

        assert got(make(leaves_once, restart="transient", name="leaves").delay()) == 2

    def test_a_crashed_late_acknowledged_task_is_delivered_again(self, app: Any, got: Got) -> None:
        @app.task(bind=True, acks_late=True, reject_on_worker_lost=True)
        def second_time(self: Any) -> bool:
            redelivered: bool = self.request.delivery_info["redelivered"]
            return redelivered or bool(_raise(SystemExit(3)))

        assert got(second_time.delay()) is True

    def test_a_restart_budget_that_is_spent_fails_the_task(self, make: Make, got: Got) -> None:
        runs: list[int] = []

        def crashes() -> None:
            runs.append(1)
            raise SystemExit(3)

        result = make(crashes, restart="transient", name="hopeless").delay()
        with pytest.raises(Exception, match="Worker exited prematurely"):
            got(result)
        assert len(runs) == 4


@pytest.mark.usefixtures("run")
class TestLimits:
    def test_a_soft_limit_is_raised_in_a_thread(self, app: Any, got: Got) -> None:
        entered = threading.Event()

        @app.task(soft_time_limit=0.1)
        def slow() -> str:
            try:
                while not entered.wait(0.01):
                    pass
            except SoftTimeLimitExceeded:
                return "in time"
            return "never"

        assert got(slow.delay()) == "in time"

    def test_a_hard_limit_fails_the_task_and_frees_its_slot(self, make: Make, got: Got) -> None:
        stop = threading.Event()
        failures: list[Any] = []
        signals.task_failure.connect(
            lambda exception, **_: failures.append(exception), weak=False, dispatch_uid="t"
        )
        try:
            result = make(lambda: _wait(stop), time_limit=0.1, name="stuck").delay()
            with pytest.raises(TimeLimitExceeded):
                got(result)
            assert got(make(lambda: 1, name="next").delay()) == 1
        finally:
            stop.set()
            signals.task_failure.disconnect(dispatch_uid="t")
        signalled = [TimeLimitExceeded] if VERSION[:2] >= (5, 7) else []  # Celery's own request, from 5.7 on
        assert [type(failure) for failure in failures] == signalled

    def test_a_rate_limit_spreads_the_runs(self, make: Make, got: Got) -> None:
        ran: list[datetime] = []
        task = make(lambda: ran.append(datetime.now(UTC)), rate_limit="10/s", name="limited")
        sent = datetime.now(UTC)  # no later than the first run, which may be late to write its own time
        for result in [task.delay() for _ in range(4)]:
            got(result)
        assert ran[-1] - sent >= timedelta(seconds=0.28)


@pytest.mark.usefixtures("run")
class TestStates:
    def test_states_of_the_tasks_own_making_are_seen(self, app: Any, got: Got) -> None:
        half, go = threading.Event(), threading.Event()

        @app.task(bind=True)
        def work(self: Any) -> None:
            self.update_state(state="HALF", meta={"done": 5})
            half.set()
            go.wait(PATIENCE_S)

        result = work.delay()
        assert half.wait(PATIENCE_S)
        assert (result.state, result.info) == ("HALF", {"done": 5})
        go.set()
        got(result)

    def test_a_forgotten_result_is_gone(self, app: Any, make: Make, got: Got) -> None:
        result = make(lambda: 1, name="one").delay()
        got(result)
        result.forget()
        assert app.AsyncResult(result.id).state == "PENDING"

    def test_children_are_recorded(self, make: Make, got: Got) -> None:
        child = make(lambda: 1, name="child")
        parent = make(lambda: child.delay().id, name="parent")
        result = parent.delay()
        child_id = got(result)
        assert [found.id for found in result.children] == [child_id]

    def test_a_timeout_of_get_leaves_the_task_alone(self, make: Make, got: Got) -> None:
        go = threading.Event()
        result = make(lambda: go.wait(PATIENCE_S), name="waits").delay()
        with pytest.raises(celery.exceptions.TimeoutError):
            result.get(timeout=0.05)
        go.set()
        assert got(result) is True

    def test_a_task_may_not_wait_for_another_unless_it_insists(self, make: Make, got: Got) -> None:
        one = make(lambda: 1, name="one")
        waits = make(lambda: one.delay().get(timeout=PATIENCE_S), name="waits")
        insists = make(
            lambda: one.delay().get(timeout=PATIENCE_S, disable_sync_subtasks=False), name="insists"
        )
        with pytest.raises(RuntimeError, match="Never call result"):
            got(waits.delay())
        assert got(insists.delay()) == 1


def _raise(error: BaseException) -> Any:
    raise error


def _wait(event: threading.Event) -> None:
    """Wait in short pieces, so that what is raised in the thread gets through."""
    while not event.wait(0.01):
        pass
