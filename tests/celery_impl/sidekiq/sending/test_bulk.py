"""`task.bulk`: Celery's messages in few packets, all or none of a chunk; a failure names each job."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, ClassVar

import kombu.pools
import pytest
from celery import Celery, Task, _state, chain, signals

from celery_impl.sidekiq import ArgumentsError, BulkError, Duplicate, NotUnique, Sidekiq
from celery_impl.sidekiq.jobs.entry_format import split
from celery_impl.sidekiq.middleware import Middleware
from celery_impl.sidekiq.redis.sets import SCHEDULE
from celery_impl.sidekiq.sending import bulk, fast_enqueue
from celery_impl.sidekiq.testing import fake

ETA = datetime(2100, 1, 1, 12, 30, 15, 123456, tzinfo=UTC)

#: The tasks that run in this thread, innermost last.
TASKS: Any = vars(_state)["_task_stack"]


def add(one: Any, two: Any = 2) -> Any:
    return one, two


def make(url: str, *, within_s: float = 30.0, middleware: Any = (), **conf: Any) -> Any:
    kombu.pools.reset()  # they outlive a test, and remember what they declared at an earlier broker
    app = Celery("bulk", broker=f"lease+{url}", set_as_current=False)
    app.conf.update({"task_ignore_result": True, **conf})
    made = Sidekiq(app, enqueue_within_s=within_s, middleware=middleware)
    app.task(name="add", shared=False)(add)
    app.task(name="unique", shared=False, sidekiq_unique="until_done")(add)
    app.task(name="raises", shared=False, sidekiq_unique="until_done", sidekiq_unique_conflict="raise")(add)
    vars(app)["sidekiq"] = made
    return app


@pytest.fixture
def app(lab: Any) -> Any:
    return make(lab.broker.url)


def queued(lab: Any, key: str = "celery") -> list[dict[str, Any]]:
    """The messages of a queue in the order in which they will run."""
    return [json.loads(text) for text in lab.redis.lrange(key, 0, -1)][::-1]


def arguments(lab: Any) -> list[Any]:
    return [json.loads(message["headers"]["argsrepr"].strip("(,)")) for message in queued(lab)]


def ids(lab: Any) -> list[str]:
    return [message["headers"]["id"] for message in queued(lab)]


def everything(lab: Any) -> Any:
    """All that waits, by where it does, without what is another each time; then it is deleted."""
    found = {f"{key}": lab.redis.lrange(key, 0, -1) for key in lab.redis.scan_iter(_type="list")}
    for member, due in lab.redis.zrange(SCHEDULE, 0, -1, withscores=True):
        key, message = split(member)
        found[f"{key} {due}"] = [message]
    bells = sorted(key for key in lab.redis.scan_iter() if key.endswith("bell"))
    text = json.dumps({place: [json.loads(text) for text in texts] for place, texts in found.items()})
    known = json.loads(text)
    for messages in known.values():
        for message in messages:
            del message["properties"]["delivery_tag"], message["properties"]["enqueued_at"]
            text = json.dumps(message).replace(message["headers"]["id"], "its id")
            message.clear()
            message.update(json.loads(text))
    lab.redis.flushall()
    return known, bells


OPTIONS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "a queue": {"queue": "other"},
    "a priority": {"priority": 3},
    "headers": {"headers": {"mine": [1]}},
    "an ETA": {"eta": ETA},
    "an ETA that has passed": {"eta": datetime(2020, 1, 1, tzinfo=UTC)},
    "limits": {"time_limit": 5, "soft_time_limit": 4},
    "another serializer": {"serializer": "pickle"},
    "a shadow": {"shadow": "other"},
}


@pytest.mark.parametrize("routes", [{}, {"task_routes": {"add": {"queue": "routed", "priority": 9}}}])
@pytest.mark.parametrize("case", OPTIONS)
def test_its_message_is_the_one_of_apply_async(lab: Any, case: str, routes: Any) -> None:
    app = make(lab.broker.url, **routes)
    job, options = app.tasks["add"], OPTIONS[case]
    job.bulk([({"deep": ["ä", None, 1.5]},)], **options)
    short = everything(lab)
    job.apply_async(({"deep": ["ä", None, 1.5]},), **options)
    assert short == everything(lab)


def test_a_job_sends_its_bulk_as_it_sends_one(lab: Any, app: Any) -> None:
    job = app.tasks["add"]
    job.push_request(
        id="parent", root_id="root", called_directly=False, children=[], delivery_info={"priority": 6}
    )
    TASKS.push(job)
    app.conf.task_inherit_parent_priority = True
    try:
        results = job.bulk([(1,)])
        short = everything(lab)
        assert job.request.children == list(results)
        job.apply_async((1,))
    finally:
        TASKS.pop()
        job.pop_request()
    assert short == everything(lab)
    assert "'parent_id': 'parent'" in str(short)


def test_a_countdown_is_counted_from_one_moment_by_the_brokers_clock(lab: Any, app: Any) -> None:
    now = float(lab.redis.time()[0])
    app.tasks["add"].bulk([(1,), (2,)], countdown=60)
    dues = {due for _, due in lab.redis.zrange(SCHEDULE, 0, -1, withscores=True)}
    assert len(dues) == 1
    assert 59 < dues.pop() - now < 120
    assert lab.redis.zcard(SCHEDULE) == 2


def test_each_item_says_its_arguments_and_the_results_come_in_their_order(lab: Any, app: Any) -> None:
    job = app.tasks["add"]
    results = job.bulk([(1,), [2], {"one": 3}, job.s(4, two=5), *((n,) for n in range(5, 2500))])
    assert len(results) == 2499
    assert ids(lab) == results.ids == [result.id for result in results]
    assert len(set(results.ids)) == 2499
    assert [message["headers"]["argsrepr"] for message in queued(lab)[:5]] == [
        "(1,)",
        "[2]",
        "()",
        "(4,)",
        "(5,)",
    ]
    assert [message["headers"]["kwargsrepr"] for message in queued(lab)[2:4]] == ["{'one': 3}", "{'two': 5}"]
    assert [result.id for result in results[1:3]] == results.ids[1:3]
    assert results[-1].ignored
    assert lab.redis.zcard("celery\x06\x16bell") == 1
    assert not job.bulk([])


BAD: dict[str, tuple[Any, type[Exception], str]] = {
    "a text": (
        [(1,), "x"],
        TypeError,
        r"bulk of add: item 1 is of type str: expected a tuple .* such as \('x',\)",
    ),
    "a number": ([1], TypeError, "item 0 is of type int"),
    "too many": ([(1,), (1, 2, 3)], TypeError, "item 1: .*argument"),
    "a name that it does not have": ([{"three": 3}], TypeError, "item 0: "),
    "a tuple in it": ([(1,), (2,), ((),)], ArgumentsError, r"item 2: add: args\[0\] is of type tuple"),
    "all as one text": ("abc", TypeError, "expected the arguments of many jobs, not one str"),
    "all as one dictionary": ({"one": 1}, TypeError, "not one dict"),
    "another task's": ("other", TypeError, "item 0 is a signature, but one of unique"),
    "options": ("options", TypeError, "item 0 is a signature, but one with options"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_item_is_named_before_anything_is_sent(lab: Any, app: Any, case: str) -> None:
    items, error, text = BAD[case]
    signatures = {"other": [app.tasks["unique"].s(1)], "options": [app.tasks["add"].s(1).set(queue="x")]}
    with pytest.raises(error, match=text):
        app.tasks["add"].bulk(signatures.get(items, items) if isinstance(items, str) else items)
    assert not lab.redis.exists("celery")


def test_options_of_a_single_job_are_refused(app: Any) -> None:
    with pytest.raises(TypeError, match="task_id is for a single job"):
        app.tasks["add"].bulk([(1,)], task_id="x")


def test_signatures_of_several_tasks_go_together(lab: Any, app: Any) -> None:
    one, other = app.tasks["add"], app.tasks["unique"]
    results = app.sidekiq.bulk(
        [one.s(1), other.s(2), one.s(3).set(queue="aside"), one.s(4), one.s(5).set(link=one.si(6))]
    )
    places = {message["headers"]["id"]: key for key in ("celery", "aside") for message in queued(lab, key)}
    assert [places[result.id] for result in results] == ["celery", "celery", "aside", "celery", "celery"]
    assert results.ids == [result.id for result in results]
    for bad, text in (
        ([1], "item 0 is of type int"),
        ([one.s(1), chain(one.s(1), one.s(2))], "item 1 is chain"),
    ):
        with pytest.raises(TypeError, match=text):
            app.sidekiq.bulk(bad)
    with pytest.raises(TypeError, match=r"item 1: .*missing"):
        app.sidekiq.bulk([one.s(1), one.s()])


@pytest.mark.parametrize("chunk", [2, 1000])
def test_a_unique_job_is_sent_once_and_its_lock_is_the_one_of_delay(
    lab: Any, app: Any, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(bulk, "CHUNK", chunk)
    job = app.tasks["unique"]
    first = job.delay(0)
    results = job.bulk([(0,), (1,), (1,), (2,)])
    again = job.delay(2)
    assert [type(result) is Duplicate for result in results] == [True, False, True, False]
    assert results.ids == [first.id, results[1].id, results[1].id, results[3].id]
    assert (type(again), again.id) == (Duplicate, results[3].id)
    assert arguments(lab) == [0, 1, 2]
    assert [message["headers"]["sidekiq_unique"].partition(":")[2] for message in queued(lab)] == ids(lab)


def test_where_a_second_one_is_an_error_the_others_are_sent_all_the_same(lab: Any, app: Any) -> None:
    with pytest.raises(BulkError) as caught:
        app.tasks["raises"].bulk([(1,), (1,), (2,)])
    assert [job.number for job in caught.value.sent] == [0, 2]
    assert [job.number for job in caught.value.unsent] == [1]
    assert isinstance(caught.value.__cause__, NotUnique)
    assert arguments(lab) == [1, 2]


class Tenant(Middleware):
    def client(self, job: Any, call_next: Any) -> Any:
        job.headers["tenant"] = job.args[0]
        return call_next(job)


def test_client_middleware_sees_each_job(lab: Any) -> None:
    app = make(lab.broker.url, middleware=[Tenant()])
    results = app.tasks["add"].bulk([(1,), (2,)])
    assert [message["headers"]["tenant"] for message in queued(lab)] == [1, 2]
    assert [result.id for result in results] == ids(lab)


def test_receivers_of_the_publish_signals_hear_of_each_job(lab: Any, app: Any) -> None:
    heard: list[Any] = []

    def before(headers: Any, **_: Any) -> None:
        heard.append(lab.redis.llen("celery"))
        headers["traced"] = "yes"

    def after(**_: Any) -> None:
        heard.append(lab.redis.llen("celery"))

    signals.before_task_publish.connect(before)
    signals.after_task_publish.connect(after)
    try:
        app.tasks["add"].bulk([(1,), (2,)])
    finally:
        signals.before_task_publish.disconnect(before)
        signals.after_task_publish.disconnect(after)
    assert heard == [0, 1, 1, 2]
    assert [message["headers"]["traced"] for message in queued(lab)] == ["yes"] * 2


class Counting(Task):  # type: ignore[type-arg] # before Celery 5.7 a task is no generic class
    abstract = True
    seen: ClassVar[list[Any]] = []

    def apply_async(self, args: Any = None, *rest: Any, **options: Any) -> Any:
        self.seen.append(args)
        return super().apply_async(args, *rest, **options)


def test_an_apply_async_of_ones_own_and_one_that_is_wrapped_see_each_job(
    lab: Any, app: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = app.task(name="own", shared=False, base=Counting)(add)
    own.bulk([(1,), (2,)])
    assert Counting.seen == [(1,), (2,)]

    around, seen = Task.apply_async, []

    def wrapper(self: Any, *args: Any, **options: Any) -> Any:
        seen.append(args[0])
        return around(self, *args, **options)

    monkeypatch.setattr(Task, "apply_async", wrapper)
    app.tasks["add"].bulk([(3,), (4,)])
    assert seen == [(3,), (4,)]
    assert arguments(lab) == [1, 2, 3, 4]


def test_a_test_mode_and_eager_mode_take_a_bulk(lab: Any, app: Any) -> None:
    job = app.tasks["add"]
    with fake(app) as jobs:
        job.bulk([(1,), {"one": 2}])
        assert [(job.args, job.kwargs) for job in jobs.enqueued] == [([1], {}), ([], {"one": 2})]
    app.conf.task_always_eager = True
    assert [result.result for result in job.bulk([(1,), (2,)])] == [(1, 2), (2, 2)]
    assert not lab.redis.exists("celery")


@contextmanager
def proxy(port: int) -> Iterator[Any]:
    """A way to the broker: once `lose` is set, it breaks the connection of the next answer, which is lost."""
    lose, stopped = threading.Event(), threading.Event()
    listening = socket.create_server(("127.0.0.1", 0))

    def serve(client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", port)) as server:
            while not stopped.is_set():
                ready, _, _ = select.select([client, server], [], [], 0.05)
                for source in ready:
                    data = source.recv(65536)
                    if not data or (source is server and lose.is_set()):
                        lose.clear()
                        return
                    (server if source is client else client).sendall(data)

    def accept() -> None:
        while not stopped.is_set():
            if select.select([listening], [], [], 0.05)[0]:
                threads.append(threading.Thread(target=serve, args=(listening.accept()[0],)))
                threads[-1].start()

    threads = [threading.Thread(target=accept)]
    threads[0].start()
    try:
        yield listening.getsockname()[1], lose
    finally:
        stopped.set()
        for thread in threads:
            thread.join()
        listening.close()


def at_chunk(monkeypatch: pytest.MonkeyPatch, number: int, act: Any) -> None:
    """Do something just before a chunk is sent, and send ten jobs a chunk."""
    send, chunks = bulk._Chunks.send, []

    def sending(self: Any, calls: Any) -> Any:
        chunks.append(calls)
        if len(chunks) == number:
            act()
        return send(self, calls)

    monkeypatch.setattr(bulk, "CHUNK", 10)
    monkeypatch.setattr(bulk._Chunks, "send", sending)


def numbers(jobs: Any) -> list[int]:
    return [job.number for job in jobs]


def close(app: Any) -> None:
    fast = fast_enqueue.of(app)
    assert fast is not None
    fast.renew()


@pytest.mark.parametrize("name", ["add", "unique"])
def test_a_chunk_whose_answer_is_lost_is_sent_once(
    lab: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with proxy(int(lab.broker.url.rpartition(":")[2].partition("/")[0])) as (port, lose):
        app = make(f"redis://127.0.0.1:{port}/0")
        at_chunk(monkeypatch, 2, lose.set)
        results = app.tasks[name].bulk([(n % 25,) for n in range(30)])
        kombu.pools.reset()
        close(app)
    assert arguments(lab) == ([n % 25 for n in range(30)] if name == "add" else list(range(25)))
    assert len(results) == 30


def test_a_broker_that_dies_in_the_middle_has_what_was_sent_and_nothing_of_the_rest(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = lab.sample()
    at_chunk(monkeypatch, 3, lab.broker.kill)
    with pytest.raises(BulkError, match="20 jobs were sent, 15 were not") as caught:
        sample.note.bulk([(f"job{n}",) for n in range(35)])
    monkeypatch.undo()
    error = caught.value
    assert numbers(error.sent) == list(range(20))
    assert numbers(error.unsent) == list(range(20, 35))
    assert not error.unknown
    lab.broker.restart()
    assert {job.id for job in error.sent} == {message["headers"]["id"] for message in queued(lab)}

    sample.note.bulk([job.item for job in error.unsent])
    lab.worker()
    lab.eventually(lambda: all(lab.runs("done", f"job{n}") for n in range(35)))
    assert [len(lab.runs("start", f"job{n}")) for n in range(35)] == [1] * 35


def test_of_a_chunk_that_a_silent_broker_may_have_got_it_says_so(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make(lab.broker.url, within_s=1.0)
    pid = lab.redis.info("server")["process_id"]
    at_chunk(monkeypatch, 2, lambda: os.kill(pid, signal.SIGSTOP))
    try:
        with pytest.raises(BulkError, match=r"10 .* sent, 10 may .* item 10\), 15 were not") as caught:
            app.tasks["add"].bulk([(n,) for n in range(35)])
    finally:
        os.kill(pid, signal.SIGCONT)
    error = caught.value
    assert (numbers(error.sent), numbers(error.unknown)) == (list(range(10)), list(range(10, 20)))
    assert numbers(error.unsent) == list(range(20, 35))
    known = ids(lab)
    assert known[:10] == [job.id for job in error.sent]
    assert known[10:] in ([], [job.id for job in error.unknown])


def test_one_by_one_too_it_says_what_was_sent(lab: Any) -> None:
    class Dying(Middleware):
        def client(self, job: Any, call_next: Any) -> Any:
            if job.args[0] == 2:
                lab.broker.kill()
            return call_next(job)

    app = make(lab.broker.url, middleware=[Dying()])
    with pytest.raises(BulkError) as caught:
        app.tasks["add"].bulk([(n,) for n in range(5)])
    error = caught.value
    assert [numbers(jobs) for jobs in (error.sent, error.unknown, error.unsent)] == [[0, 1], [2], [3, 4]]
    lab.broker.restart()
    assert ids(lab) == [job.id for job in error.sent]


@pytest.mark.filterwarnings("ignore:Call to deprecated setex")  # by Celery
def test_results_of_a_bulk_are_waited_for_as_others(lab: Any) -> None:
    app = make(lab.broker.url, task_ignore_result=False, result_backend=lab.broker.url)
    results = app.tasks["add"].bulk([(1,), (2,)])
    assert not results[0].ignored
    app.backend.store_result(results.ids[0], "first", "SUCCESS")
    late = threading.Timer(0.2, lambda: app.backend.store_result(results.ids[1], "second", "SUCCESS"))
    late.start()
    assert [result.get(timeout=60) for result in results] == ["first", "second"]
    late.join()
    app.backend.result_consumer.stop()
    app.backend.client.connection_pool.disconnect()
