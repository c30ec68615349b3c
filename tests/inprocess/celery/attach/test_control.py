"""Remote control: Celery's commands, answered at once by the one worker there is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from celery.exceptions import TaskRevokedError

from inprocess.celery import InProcess

PATIENCE_S = 20.0

Got = Callable[[Any], Any]
Make = Callable[..., Any]


class Busy:
    """A task that runs until it is let go."""

    def __init__(self, make: Make) -> None:
        self.began, self.go = threading.Event(), threading.Event()
        self.result = make(self.run_task(), name="busy").delay()
        assert self.began.wait(PATIENCE_S)

    def run_task(self) -> Any:
        def busy() -> None:
            self.began.set()
            while not self.go.wait(0.01):
                pass

        return busy


def test_inspect_tells_what_runs_waits_and_is_scheduled(
    run: InProcess, app: Any, make: Make, got: Got
) -> None:
    busy = Busy(make)
    later = make(lambda: 1, name="later").apply_async(countdown=1000)
    inspect = app.control.inspect()
    name = run.worker.hostname
    assert app.control.ping() == [{name: {"ok": "pong"}}]
    assert [task["id"] for task in inspect.active()[name]] == [busy.result.id]
    scheduled = [entry["request"]["id"] for entry in _eventually(lambda: inspect.scheduled()[name])]
    assert scheduled == [later.id]
    assert "busy" in inspect.registered()[name]
    assert inspect.query_task(busy.result.id)[name][busy.result.id][0] == "active"
    assert inspect.stats()[name]["pool"]["max-concurrency"] == 10
    busy.go.set()
    got(busy.result)
    later.revoke()


def test_a_revoked_task_is_not_run(app: Any, run: InProcess, make: Make, got: Got) -> None:
    ran: list[int] = []
    task = make(lambda: ran.append(1), name="note")
    result = task.apply_async(countdown=0.2)
    result.revoke()
    with pytest.raises(TaskRevokedError):
        got(result)
    assert ran == []
    assert run.worker.hostname in app.control.inspect().revoked()


@pytest.mark.usefixtures("run")
def test_a_running_task_is_terminated_in_its_thread(make: Make, got: Got) -> None:
    busy = Busy(make)
    busy.result.revoke(terminate=True)
    with pytest.raises(TaskRevokedError):
        got(busy.result)
    assert busy.result.state == "REVOKED"


def test_rate_limits_and_time_limits_change_while_it_runs(
    run: InProcess, app: Any, make: Make, got: Got
) -> None:
    task = make(lambda: 1, name="one")
    got(task.delay())
    (answer,) = app.control.rate_limit("one", "100/s", reply=True)
    assert answer[run.worker.hostname] == {"ok": "new rate limit set successfully"}
    (answer,) = app.control.time_limit("one", hard=5, reply=True)
    assert answer[run.worker.hostname] == {"ok": "time limits set successfully"}
    assert (task.rate_limit, task.time_limit) == ("100/s", 5)
    assert got(task.delay()) == 1


def test_a_queue_is_paused_and_taken_up_again(run: InProcess, app: Any, make: Make, got: Got) -> None:
    task = make(lambda: 1, name="one")
    got(task.delay())
    app.control.cancel_consumer("celery")
    waits = task.delay()
    assert "celery" not in [
        queue["name"] for queue in app.control.inspect().active_queues()[run.worker.hostname]
    ]
    assert run.broker.size("celery") == 1
    app.control.add_consumer("celery")
    assert got(waits) == 1


def test_waiting_tasks_are_purged(run: InProcess, app: Any, make: Make) -> None:
    run.broker.pause("celery")
    task = make(lambda: 1, name="one")
    for _ in range(3):
        task.delay()
    assert app.control.purge() == 3
    assert run.broker.size("celery") == 0


def test_the_pool_grows_and_shrinks(run: InProcess, app: Any) -> None:
    (answer,) = app.control.pool_grow(3, reply=True)
    assert answer[run.worker.hostname] == {"ok": "pool will grow"}
    assert app.control.inspect().stats()[run.worker.hostname]["pool"]["max-concurrency"] == 13
    app.control.pool_shrink(100, reply=True)
    assert app.control.inspect().stats()[run.worker.hostname]["pool"]["max-concurrency"] == 1


@pytest.mark.usefixtures("run")
def test_commands_for_others_and_unknown_ones_are_told_so(app: Any) -> None:
    assert app.control.ping(destination=["celery@elsewhere"]) == []
    (answer,) = app.control.broadcast("fly", reply=True)
    assert next(iter(answer.values())) == {"error": "No such control command: fly"}
    (answer,) = app.control.broadcast("shutdown", reply=True)
    assert "stop the run instead" in next(iter(answer.values()))["error"]


def _eventually(look: Callable[[], Any]) -> Any:
    """What `look` gives once it gives something: a message is on its way to the worker."""
    pause = threading.Event()
    for _ in range(2000):
        if found := look():
            return found
        pause.wait(0.01)
    raise AssertionError(look)
