"""Apps, plug-ins and settings that nobody here wrote: proxies, names, protocols, steps, schedulers."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, Task, beat, bootsteps, current_app, signals
from celery.result import EagerResult
from celery.worker.consumer import Consumer
from kombu import Consumer as KombuConsumer
from kombu import Exchange, Queue

from inprocess.celery import InProcess, run_in_process
from tests.inprocess.celery.conftest import PATIENCE_S

Make = Callable[..., Any]
Got = Callable[[Any], Any]
ROOT = Path(__file__).parents[3]


def eventually(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
    return found


def test_a_proxy_of_an_app_is_that_app_and_what_is_none_is_refused(app: Any, make: Make, got: Got) -> None:
    one = make(lambda: 1, name="one")
    app.set_current()
    try:
        with run_in_process(current_app) as run:
            assert run.app is app
            assert got(one.delay()) == 1
    finally:
        Celery(set_as_current=True)
    with pytest.raises(TypeError, match="takes a Celery app, not str"):
        run_in_process("shop.celery")


def numbered(app: Any, number: int) -> Any:
    @app.task(name="one", shared=False)
    def one() -> int:
        return number

    return one


def test_two_apps_of_one_name_and_two_unnamed_ones_run_side_by_side(got: Got) -> None:
    for name in ("celery.tests", None):
        apps: list[Any] = [Celery(name, set_as_current=False) for _ in range(2)]
        tasks = [numbered(app, number) for number, app in enumerate(apps)]
        with run_in_process(apps[0]) as first, run_in_process(apps[1]) as second:
            assert [got(task.delay()) for task in tasks] == [0, 1]
            assert second.name == f"{first.name}-2"


def test_a_request_knows_the_worker_by_its_whole_name(app: Any, run: InProcess, got: Got) -> None:
    @app.task(bind=True)
    def who(task: Any) -> Any:
        return task.request.hostname

    @app.task(bind=True)
    async def who_async(task: Any) -> Any:
        return task.request.hostname

    assert got(who.delay()) == got(who_async.delay()) == run.worker.hostname
    assert run.worker.hostname.startswith("celery@")


def test_a_worker_may_have_a_name_of_its_own(app: Any) -> None:
    with run_in_process(app, hostname="mail@here"):
        assert app.control.ping() == [{"mail@here": {"ok": "pong"}}]


def test_protocol_1_runs_waits_and_refuses_as_protocol_2(app: Any, make: Make, got: Got) -> None:
    app.conf.task_protocol = 1
    add = make(lambda a, b=1: a + b, name="add")
    with run_in_process(app, grace_s=0.1) as run:
        assert got(add.delay(1, b=2)) == 3
        assert got(add.apply_async((1,), countdown=0.1)) == 2
        with pytest.raises(Exception, match=r"add: args\[0\] is a set, which json cannot carry"):
            add.delay({1})
        late = add.apply_async((1,), countdown=3600)
    assert run.report is not None
    assert [lost.description.partition(":")[0] for lost in run.report.cut_off] == [f"add[{late.id}]"]


class Listener(bootsteps.ConsumerStep):
    """A consumer of a queue of its own, as in Celery's guide to extending a worker."""

    queue = Queue("custom", Exchange("custom", "direct"), "custom")
    heard: list[Any]

    def get_consumers(self, channel: Any) -> list[Any]:
        return [KombuConsumer(channel, queues=[self.queue], callbacks=[self.handle], accept=["json"])]

    def handle(self, body: Any, message: Any) -> None:
        self.heard.append((body, threading.current_thread().name))
        message.ack()


def test_a_consumer_step_of_the_apps_own_hears_what_comes_to_its_queue(app: Any) -> None:
    class Own(Listener):
        heard: list[Any] = []  # noqa: RUF012 - of this test

    app.steps["consumer"].add(Own)
    with run_in_process(app), app.producer_or_acquire() as producer:
        for number in range(3):
            producer.publish(
                {"number": number}, exchange=Own.queue.exchange, routing_key="custom", declare=[Own.queue]
            )
        eventually(lambda: [body["number"] for body, _ in Own.heard] == [0, 1, 2])


def test_bootsteps_of_worker_and_consumer_are_started_and_stopped_as_in_a_worker(app: Any) -> None:
    calls: list[str] = []

    class Noted(bootsteps.StartStopStep):
        def __init__(self, parent: Any, **options: Any) -> None:
            super().__init__(parent, **options)
            type(self).label = type(self).__name__.lower()

        def start(self, _parent: Any) -> None:
            calls.append(f"{self.label} start")

        def close(self, _parent: Any) -> None:
            calls.append(f"{self.label} close")

        def stop(self, _parent: Any) -> None:
            calls.append(f"{self.label} stop")
            raise LookupError("one that fails stops no other")

    class Worker(Noted):
        requires = ("celery.worker.components:Pool",)

    class OfConsumer(Noted):
        requires = ("celery.worker.consumer:Connection", "celery.worker.consumer.gossip:Gossip")

        def shutdown(self, _parent: Any) -> None:
            calls.append("ofconsumer shutdown")

    class Last(Noted):
        requires = (OfConsumer, "celery.worker.consumer.tasks:Tasks")

    app.steps["worker"].add(Worker)
    app.steps["consumer"].update({OfConsumer, Last})
    with run_in_process(app):
        assert [call for call in calls if "worker" not in call] == ["ofconsumer start", "last start"]
        assert "worker start" in calls
        del calls[:]
    assert calls == [
        "last close", "ofconsumer close", "worker close", "last stop", "ofconsumer stop", "worker stop",
        "ofconsumer shutdown",
    ]  # fmt: skip


class Collecting(Task[Any, Any]):
    """As celery-batches: its strategy collects messages, and gives a function of its own to the pool."""

    abstract = True
    fails: bool
    told: list[Any]

    def Strategy(self, task: Any, app: Any, consumer: Any) -> Any:  # type: ignore[override] # noqa: N802, ARG002 - Celery's
        pending: list[Any] = []

        def handle(message: Any, body: Any, ack: Any, reject: Any, callbacks: Any, **_: Any) -> None:  # noqa: ARG001 - Celery's
            pending.append(message.headers["id"])
            ack(None, ())
            if len(pending) == 2:
                consumer.pool.apply_async(
                    self.flush, (list(pending), 0, None), callback=self.told.append, accept_callback=None
                )

        return handle

    def flush(self, ids: list[str], *_: Any) -> list[str]:
        if self.fails:
            raise SystemExit(3)
        return ids


@pytest.mark.parametrize("fails", [False, True])
def test_a_task_class_may_give_the_pool_a_function_of_its_own(app: Any, fails: bool, caplog: Any) -> None:  # noqa: FBT001 - a case
    @app.task(base=Collecting, name="collect", fails=fails, told=[])
    def collect() -> None: ...

    with run_in_process(app, grace_s=1.0) as run:
        sent = [collect.delay().id for _ in range(2)]
        eventually(lambda: collect.told or "SystemExit" in caplog.text)
    assert collect.told == ([] if fails else [sent])
    assert run.report is not None
    assert not run.report.cut_off


def test_eager_mode_may_be_switched_behind_the_settings_while_the_app_runs(got: Got) -> None:
    class Settings:
        broker_url = "inprocess://"
        task_always_eager = False

    settings = Settings()
    app: Any = Celery("behind", set_as_current=False)
    app.config_from_object(settings)
    one = numbered(app, 1)
    with run_in_process(app):
        assert got(one.delay()) == 1
        settings.task_always_eager = True
        assert isinstance(one.delay(), EagerResult)
        settings.task_always_eager = False
        assert not isinstance(one.delay(), EagerResult)


def test_a_worker_consumer_of_the_apps_own_is_told_of_what_no_task_can_run(app: Any) -> None:
    told: list[Any] = []

    class Own(Consumer):
        def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
            told.append(str(exc))
            super().on_unknown_task(body, message, exc)

    app.conf.worker_consumer = Own
    with run_in_process(app):
        app.send_task("unheard.of")
        eventually(lambda: told == ["'unheard.of'"])


class Table(beat.Scheduler):
    """A scheduler whose entries stand in a table, as django-celery-beat's."""

    threads: set[str] = set()  # noqa: RUF012 - of the test
    fails = 0
    closed = 0

    def setup_schedule(self) -> None:
        self.update_from_dict({"t": {"task": "tick", "schedule": 0.05}})

    def tick(self, *args: Any, **options: Any) -> Any:
        self.threads.add(threading.current_thread().name)
        if type(self).fails:
            type(self).fails -= 1
            raise LookupError("the database is away")
        return super().tick(*args, **options)

    def close(self) -> None:
        type(self).closed += 1
        super().close()


def test_a_beat_scheduler_of_the_apps_own_runs_in_a_thread_and_outlives_its_errors(
    app: Any, make: Make, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setattr("inprocess.celery.own_scheduler.PAUSE_S", 0.05)
    ticks: list[int] = []
    services: list[Any] = []
    make(lambda: ticks.append(1), name="tick")
    app.conf.beat_scheduler = Table
    Table.fails = 1

    def note(sender: Any, **_: Any) -> None:
        services.append(sender.scheduler)

    signals.beat_init.connect(note)
    try:
        with run_in_process(app):
            eventually(lambda: len(ticks) > 2)
    finally:
        signals.beat_init.disconnect(note)
    assert Table.threads == {"celery.beat"}
    assert "the database is away" in caplog.text
    assert Table.closed
    assert isinstance(services[0], Table)
    before = len(ticks)
    time.sleep(0.2)
    assert len(ticks) == before


def test_a_beat_scheduler_that_cannot_be_made_ends_the_start_with_its_reason(app: Any) -> None:
    class Broken(beat.Scheduler):
        def setup_schedule(self) -> None:
            raise LookupError("no table: run migrate")

    app.conf.beat_scheduler = Broken
    with pytest.raises(Exception, match="no table: run migrate"), run_in_process(app):
        pass
    with run_in_process(app, beat=False):
        pass


def test_the_signals_of_a_workers_process_are_sent_once_for_all_runs(app: Any) -> None:
    seen: list[Any] = []

    def begun(**_: Any) -> None:
        seen.append("init")
        assert threading.current_thread() is not threading.main_thread()

    def ended(pid: int, exitcode: int, **_: Any) -> None:
        seen.append((pid, exitcode))

    signals.worker_process_init.connect(begun)
    signals.worker_process_shutdown.connect(ended)
    other: Any = Celery("beside", set_as_current=False)
    try:
        with run_in_process(app):
            with run_in_process(other):
                assert seen == ["init"]
            assert seen == ["init"]
        assert seen == ["init", (os.getpid(), 0)]
    finally:
        signals.worker_process_init.disconnect(begun)
        signals.worker_process_shutdown.disconnect(ended)


GREEN = """
{patch}
from celery import Celery
from inprocess.celery import run_in_process
try:
    run_in_process(Celery("green")).start()
except RuntimeError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("library", "patch"),
    [
        ("gevent", "from gevent import monkey; monkey.patch_all()"),
        ("eventlet", "import eventlet; eventlet.monkey_patch()"),
    ],
)
def test_green_threads_are_refused_at_the_start_in_one_line(library: str, patch: str) -> None:
    if find_spec(library) is None:  # not imported here: eventlet warns at each later fork of its process
        pytest.skip(f"pip install {library}")
    done = program(GREEN.format(patch=patch))
    assert done.stdout.startswith(f"celery:green cannot run here: {library} has replaced"), done.stderr
    assert len(done.stdout.splitlines()) == 1


FORKED = """
import os
from celery import Celery, shared_task, current_app
import inprocess.celery
app = Celery("forked", broker="inprocess://")
@app.task
def one(): return os.getpid()
app.amqp   # stands by, as an app that is preloaded
if {first}:
    assert one.delay().get(timeout=20) == os.getpid()
child = os.fork()
if not child:
    try:
        assert one.delay().get(timeout=20) == os.getpid()
        print("the child runs its own", flush=True)
        os._exit(0)
    except BaseException as error:
        print(repr(error), flush=True)
        os._exit(1)
assert os.waitpid(child, 0)[1] == 0
assert one.delay().get(timeout=20) == os.getpid()
print("the parent too")
"""


@pytest.mark.parametrize("first", [False, True])
def test_a_fork_of_an_app_that_stood_by_stands_by_anew(first: bool) -> None:  # noqa: FBT001 - a case
    done = program(FORKED.format(first=first))
    assert done.stdout.splitlines() == ["the child runs its own", "the parent too"], done.stderr


DEFAULT = """
from celery import current_app, shared_task
@shared_task
def one(): return 1
print(one.delay().get(timeout=20), one.apply_async(countdown=0.1).get(timeout=20))
print(current_app.control.ping()[0].popitem()[1])
"""
NAMED = """
from celery import Celery
first, second = Celery("first"), Celery("second")
@first.task(shared=False)
def one(): return 1
@second.task(shared=False)
def two(): return 2
print(two.delay().get(timeout=20), one.delay().get(timeout=20))
"""


@pytest.mark.parametrize("imports", ["", "import inprocess.celery"])
@pytest.mark.parametrize(("text", "lines"), [(DEFAULT, ["1 1", "{'ok': 'pong'}"]), (NAMED, ["2 1"])])
def test_by_the_environment_any_app_runs_here_without_an_import(
    imports: str, text: str, lines: list[str]
) -> None:
    done = program(f"{imports}\n{text}", CELERY_BROKER_URL="inprocess://")
    assert done.stdout.splitlines() == lines, done.stderr


@pytest.mark.parametrize("command", ["worker", "beat"])
@pytest.mark.parametrize("imports", ["", "import inprocess.celery"])
def test_a_worker_or_a_beat_beside_it_ends_at_once_with_one_line(
    tmp_path: Path, command: str, imports: str
) -> None:
    (tmp_path / "shop.py").write_text(f"{imports}\nfrom celery import Celery\napp = Celery('shop')\n")
    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "shop", command],
        cwd=tmp_path,
        env={**os.environ, "CELERY_BROKER_URL": "inprocess://", "PYTHONPATH": f"{ROOT}:{tmp_path}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == os.EX_CONFIG
    assert done.stderr.splitlines()[-1].startswith(
        f"celery {command}: the broker inprocess:// is in the memory"
    )
    assert "Traceback" not in done.stderr


def program(text: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    return subprocess.run(
        [sys.executable, "-c", text],
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
