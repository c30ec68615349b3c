"""How a run begins, ends, reports, and what it refuses."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from kombu.exceptions import EncodeError, OperationalError

from inprocess import snapshot
from inprocess.celery import InProcess, result, run_in_process
from inprocess.supervision.lifecycle.drain import DrainReport

ROOT = Path(__file__).parent.parent.parent.parent
PATIENCE_S = 60.0

Got = Callable[[Any], Any]
Make = Callable[..., Any]


def test_the_observer_sees_the_tree_and_the_running_task(run: InProcess, make: Make, got: Got) -> None:
    began, go = threading.Event(), threading.Event()
    sent = make(lambda _x: signal_and_wait(began, go), name="busy").delay(7)
    assert began.wait(PATIENCE_S)
    root = snapshot(run.name).roots[0]
    while root.state == "no answer":  # a loop that gets no turn in time, which a snapshot tells and no more
        root = snapshot(run.name).roots[0]
    children = {child.id: child for child in root.children}
    assert list(children) == ["celery.tasks", "celery.worker"]
    (task,) = children["celery.tasks"].children
    assert (task.name, task.state) == (f"busy[{sent.id}]", "running")
    assert task.about == f"busy[{sent.id}]: busy args=(7,)"
    go.set()
    got(sent)


def test_a_run_that_ends_waits_for_what_runs_and_what_waits(app: Any, make: Make) -> None:
    ran: list[int] = []
    task = make(lambda x: ran.append(x), name="note")  # noqa: PLW0108 - a method has no name to set
    with run_in_process(app, concurrency=1) as run:
        for k in range(5):
            task.delay(k)
        task.apply_async((9,), countdown=0.1)
    assert sorted(ran) == [0, 1, 2, 3, 4, 9]
    assert run.report is not None
    assert run.report.cut_off == ()


def test_the_drain_names_what_it_cut_off(app: Any, make: Make) -> None:
    stop = threading.Event()
    began = threading.Event()
    stuck = make(lambda: signal_and_wait(began, stop), name="stuck")
    quick = make(lambda x: x, name="quick")
    run = run_in_process(app, concurrency=1, grace_s=0.0).start()
    stuck.delay()
    assert began.wait(PATIENCE_S)
    quick.delay(3)
    quick.apply_async((4,), countdown=1000)
    threading.Timer(0.1, stop.set).start()
    report = run.stop()
    assert isinstance(report, DrainReport)
    cut = sorted(work.description.partition(": ")[2] for work in report.cut_off)
    assert cut == ["quick args=(3,)", "quick args=(4,)"]


def test_while_it_drains_only_running_tasks_may_send(app: Any, make: Make) -> None:
    began, go = threading.Event(), threading.Event()
    ran: list[str] = []
    after = make(lambda: ran.append("after"), name="after")
    first = make(lambda: [signal_and_wait(began, go), str(after.delay())], name="first")
    run = run_in_process(app).start()
    first.delay()
    assert began.wait(PATIENCE_S)
    ending = threading.Thread(target=run.stop)
    ending.start()
    while run.broker.refusal is None:
        go.wait(0.001)
    with pytest.raises(OperationalError, match="is draining"):
        after.delay()
    go.set()
    ending.join()
    assert ran == ["after"]


def test_an_app_runs_here_once_at_a_time(run: InProcess, app: Any) -> None:
    with pytest.raises(RuntimeError, match=f"{run.name} runs already"), run_in_process(app):
        pass
    run.stop()
    with pytest.raises(RuntimeError, match="has ended: make another run"), run:
        pass


def test_two_apps_run_side_by_side(run: InProcess, make: Make, got: Got) -> None:
    other: Any = Celery("other", set_as_current=False)
    twin = other.task(name="who", shared=False)(who)
    with run_in_process(other):
        assert got(make(lambda: 1, name="who").delay()) == 1
        assert got(twin.delay()) == "other"
    assert run.report is None


def signal_and_wait(began: threading.Event, go: threading.Event) -> bool:
    """Say that the task runs, and wait to be let go."""
    began.set()
    return go.wait(PATIENCE_S)


def who() -> str:
    return "other"


def test_the_app_is_put_back_as_it_was() -> None:
    app: Any = Celery("plain", broker="amqp://127.0.0.1:1//", set_as_current=False)
    task = app.task(name="one", shared=False)(who)
    before = dict(app.__dict__), type(app.conf), app.amqp
    with run_in_process(app):
        assert task.delay().get(timeout=PATIENCE_S) == "other"
        assert app.amqp is not before[2]
    assert type(app.conf) is before[1]
    assert app.amqp is before[2]
    assert not any(type(value).__module__.startswith("inprocess") for value in app.__dict__.values())


def test_an_app_without_a_broker_says_that_its_run_has_ended() -> None:
    app: Any = Celery("bare", set_as_current=False)
    task = app.task(name="one", shared=False)(who)
    with run_in_process(app):
        task.delay()
    with pytest.raises(OperationalError, match="celery:bare has ended"):
        task.delay()
    with run_in_process(app):
        assert task.delay().get(timeout=PATIENCE_S) == "other"


@pytest.mark.usefixtures("run")
def test_unserialisable_arguments_are_refused_with_their_path(make: Make) -> None:
    task = make(lambda **_: None, name="note")
    with pytest.raises(
        EncodeError, match=r"note: kwargs\['user'\]\['tags'\]\[1\] is a set, which json cannot"
    ):
        task.delay(user={"tags": [1, {2}]})


def test_without_strict_arguments_and_results_go_by_reference(app: Any, make: Make, got: Got) -> None:
    given = {"a": {1, 2}}
    task = make(lambda x: x, name="same")
    with run_in_process(app, strict=False):
        assert got(task.delay(given)) is given


@pytest.mark.parametrize("options", [{"concurrency": 0}, {"grace_s": -1}])
def test_options_that_make_no_run_are_refused(app: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be at least 1 and 0"):
        run_in_process(app, **options)


def test_a_lifespan_runs_the_app_beside_an_asgi_server(app: Any, make: Make) -> None:
    task = make(lambda: 4, name="four")

    async def main() -> None:
        run = run_in_process(app)
        async with run.lifespan(object()) as state:
            assert state == {"celery": run.tree}
            assert await result(task.delay()) == 4

    asyncio.run(main())


def test_await_begins_a_run_that_astop_ends(app: Any, make: Make) -> None:
    task = make(lambda: 4, name="four")

    async def main() -> None:
        run = await run_in_process(app)
        assert await result(task.delay()) == 4
        assert (await run.astop()).cut_off == ()

    asyncio.run(main())


def test_a_crash_of_the_consumer_restarts_it_and_loses_no_message(
    run: InProcess, make: Make, got: Got
) -> None:
    task = make(lambda x: x, name="same")
    got(task.delay(1))
    worker = run.worker

    def broken(*_: Any) -> Any:
        worker.consumer._next = next_one
        raise LookupError("a bug of ours")

    next_one = worker.consumer._next
    worker.consumer._next = broken
    assert got(task.delay(2)) == 2
    assert run.worker is not worker


def test_a_fork_says_whose_the_run_is(run: InProcess, make: Make) -> None:
    task = make(lambda: 1, name="one")
    task.delay().get(timeout=PATIENCE_S)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            task.delay()
        except OperationalError as error:
            os.write(write, str(error).encode())
        os._exit(0)
    os.close(write)
    os.waitpid(pid, 0)
    with os.fdopen(read) as said:
        assert said.read() == (
            f"{run.name} runs in the process that this one was forked from: begin a run of its own here"
        )


@pytest.mark.parametrize("explicit", [False, True])
def test_an_app_whose_broker_is_this_process_runs_from_its_first_task_on(explicit: bool) -> None:  # noqa: FBT001 - a case
    program = f"""
import inprocess.celery
from celery import Celery

app = Celery("standby", set_as_current=True)

@app.task
def add(x, y):
    print("ran", x + y, flush=True)
    return x + y

if {explicit}:
    with inprocess.celery.run_in_process(app):
        print(add.delay(1, 2).get(timeout=10))
else:
    print(add.delay(1, 2).get(timeout=10))
    add.apply_async((3, 4), countdown=0.1)  # the interpreter's end drains it
"""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT), "CELERY_BROKER_URL": "inprocess://"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    expected = ["ran 3", "3"] if explicit else ["ran 3", "3", "ran 7"]
    assert (done.stdout.split("\n")[:-1], done.returncode) == (expected, 0), done.stderr
