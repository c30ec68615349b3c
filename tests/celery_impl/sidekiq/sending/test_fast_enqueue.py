"""The short way from `delay` to a queue: the same message as Celery's own way, or not taken at all."""

from __future__ import annotations

import gc
import inspect
import json
import os
import threading
import weakref
from datetime import UTC, datetime
from typing import Any

import kombu.pools
import pytest
from celery import Celery, Task, signals
from celery.app.amqp import AMQP
from celery.backends.base import DisabledBackend
from kombu import Exchange, Producer, Queue
from kombu.exceptions import OperationalError

from celery_impl.sidekiq import Sidekiq
from celery_impl.sidekiq.jobs.entry_format import split
from celery_impl.sidekiq.redis.sets import RETRY, SCHEDULE
from celery_impl.sidekiq.sending import fast_enqueue
from celery_impl.sidekiq.testing import fake

ETA = datetime(2100, 1, 1, 12, 30, 15, 123456, tzinfo=UTC)
JOB = "6d2a4d9a-0b1c-4f0e-9c57-0d7b2f1f9a11"


def add(one: Any, two: Any = 2) -> Any:
    return one, two


def bare() -> None:
    pass


def make(lab: Any, **conf: Any) -> Any:
    kombu.pools.reset()  # they outlive a test, and remember what they declared at an earlier broker
    app = Celery("express", broker=f"lease+{lab.broker.url}", set_as_current=False)
    app.conf.update(task_ignore_result=True, **conf)
    Sidekiq(app, enqueue_within_s=30.0)  # a busy machine may take longer than the second by default
    app.task(name="add", shared=False)(add)
    app.task(name="bare", shared=False, time_limit=30)(bare)
    return app


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each job went a short way."""
    taken: list[bool] = []
    send, delay = fast_enqueue.FastEnqueue.send, fast_enqueue.FastEnqueue.delay

    def noted(*args: Any) -> Any:
        sent = send(*args)
        taken.append(sent is not None)
        return sent

    def shortest(*args: Any) -> Any:
        sent = delay(*args)
        if sent is not None:  # else it goes the other
            taken.append(True)
        return sent

    monkeypatch.setattr(fast_enqueue.FastEnqueue, "send", noted)
    monkeypatch.setattr(fast_enqueue.FastEnqueue, "delay", shortest)
    return taken


def everything(lab: Any) -> dict[str, list[dict[str, Any]]]:
    """All that waits, by where it does, without what is another each time; then it is deleted."""
    found: dict[str, list[str]] = {}
    for key in lab.redis.scan_iter(_type="list"):
        found[key] = lab.redis.lrange(key, 0, -1)
    for name in (SCHEDULE, RETRY):
        for member, due in lab.redis.zrange(name, 0, -1, withscores=True):
            key, message = split(member)
            found[f"{name} {key} {due}"] = [message]
    bells = [key for key in lab.redis.scan_iter() if key.endswith("bell")]
    known = {place: [plain(text) for text in texts] for place, texts in found.items()}
    lab.redis.flushall()
    return {**known, "bells": [{"of": bell} for bell in sorted(bells)]}


def plain(text: str) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(text)
    del message["properties"]["delivery_tag"], message["properties"]["enqueued_at"]
    return message


CALLS: dict[str, tuple[str, tuple[Any, ...], dict[str, Any], dict[str, Any]]] = {
    "nothing": ("bare", (), {}, {}),
    "arguments": ("add", (1,), {"two": {"deep": ["ä", None, 1.5]}}, {}),
    "a long argument": ("add", ("x" * 5000,), {}, {}),
    "a queue": ("add", (1,), {}, {"queue": "other"}),
    "a priority": ("add", (1,), {}, {"priority": 3}),
    "the highest priority": ("bare", (), {}, {"priority": 0}),
    "headers": ("add", (1,), {}, {"headers": {"mine": [1], "id": "no"}}),
    "an ETA": ("add", (1,), {}, {"eta": ETA}),
    "an ETA that has passed": ("add", (1,), {}, {"eta": datetime(2020, 1, 1, tzinfo=UTC)}),
    "a retry": ("add", (1,), {}, {"eta": ETA, "retries": 3}),
    "limits": ("add", (1,), {}, {"time_limit": 5, "soft_time_limit": 4}),
    "another serializer": ("add", (1,), {}, {"serializer": "pickle"}),
    "no arguments at all": ("bare", None, None, {}),  # type: ignore[dict-item] # Celery takes it
}
CONF: dict[str, dict[str, Any]] = {
    "default": {},
    "routes": {"task_routes": {"add": {"queue": "routed", "priority": 9}, "bare": "routed"}},
    "settings": {
        "task_default_queue": "mine",
        "task_default_priority": 3,
        "task_default_delivery_mode": "transient",
        "broker_transport_options": {"global_keyprefix": "pre:", "priority_steps": [0, 5]},
    },
}


@pytest.mark.parametrize("conf", CONF)
@pytest.mark.parametrize("call", CALLS)
def test_the_short_ways_message_is_the_long_ones(
    lab: Any, line: list[bool], monkeypatch: pytest.MonkeyPatch, call: str, conf: str
) -> None:
    app = make(lab, **CONF[conf])
    name, args, kwargs, options = CALLS[call]

    def send() -> Any:
        result = app.tasks[name].apply_async(args, kwargs, task_id=JOB, **options)
        return type(result), result.id, result.ignored

    results = [send()]
    short = everything(lab)
    monkeypatch.setattr(fast_enqueue, "send", lambda *_: None)
    results.append(send())

    assert short == everything(lab)
    assert results[0] == results[1]
    assert line == [True]


def anonymous(found: dict[str, list[dict[str, Any]]]) -> Any:
    """What was sent, with the same id for all jobs."""
    text = json.dumps(found)
    for job_id in {
        message["headers"]["id"]
        for messages in found.values()
        for message in messages
        if "headers" in message
    }:
        text = text.replace(job_id, JOB)
    return json.loads(text)


@pytest.mark.parametrize("conf", CONF)
@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((), {}),
        ((1,), {}),
        ((True, None), {}),
        ((-1.5,), {"two": 'it\'s "quoted" ä \\ \x00 % %(job_id)s'}),
        (([1, "x", [2, [3, [4]]]],), {"two": {"a": {"b": {"c": {}}}}}),
        (("x" * 5000,), {}),
        ((ETA,), {}),
    ],
)
def test_the_shortest_ways_message_is_the_long_ones(  # noqa: PLR0917 - a call, and what it is made with
    lab: Any, line: list[bool], monkeypatch: pytest.MonkeyPatch, args: Any, kwargs: Any, conf: str
) -> None:
    app = make(lab, **CONF[conf])
    job = app.tasks["add" if args else "bare"]
    job.delay(*args, **kwargs)
    assert line == [True]
    short = everything(lab)
    monkeypatch.setattr(fast_enqueue, "delay", lambda *_: None)
    monkeypatch.setattr(fast_enqueue, "send", lambda *_: None)
    result = job.delay(*args, **kwargs)
    assert anonymous(short) == anonymous(everything(lab))
    assert (result.ignored, type(result)) == (True, type(job.AsyncResult("x")))


def test_a_countdown_waits_in_its_set(lab: Any, line: list[bool]) -> None:
    make(lab).tasks["add"].apply_async((1,), countdown=60)
    assert lab.redis.zcard(SCHEDULE) == 1
    assert line == [True]


def test_a_queue_is_declared_as_celery_does_and_again_after_the_broker_was_away(
    lab: Any, line: list[bool]
) -> None:
    job = make(lab).tasks["add"]
    job.delay(1)
    job.delay(2)
    assert lab.redis.smembers("_kombu.binding.celery") == {"celery\x06\x16\x06\x16celery"}

    lab.broker.kill()
    with pytest.raises(OperationalError):
        job.delay(3)
    lab.broker.restart()
    lab.redis.delete("_kombu.binding.celery")
    job.delay(4)

    assert lab.redis.exists("_kombu.binding.celery")
    assert line == [True] * 3


LONG: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a link": ({}, {"link": "add"}),
    "an expiry": ({}, {"expires": 60}),
    "an exchange": ({}, {"exchange": "celery", "routing_key": "celery"}),
    "compression": ({}, {"compression": "gzip"}),
    "a shadow": ({}, {"shadow": "other"}),
    "a topic": ({"task_queues": [Queue("celery", Exchange("t", type="topic"), routing_key="celery")]}, {}),
    "compression everywhere": ({"task_compression": "gzip"}, {}),
    "events": ({"task_send_sent_event": True}, {}),
    "protocol 1": ({"task_protocol": 1}, {}),
}


@pytest.mark.parametrize("case", LONG)
def test_what_the_short_way_does_not_know_goes_the_long_one(lab: Any, line: list[bool], case: str) -> None:
    conf, options = LONG[case]
    app = make(lab, **conf)
    if "link" in options:
        options = {"link": app.tasks["bare"].si()}
    app.tasks["add"].apply_async((1,), **options)
    assert not any(line)
    assert lab.redis.llen("celery") == 1


def test_who_hears_of_each_job_does_so_still(lab: Any, line: list[bool]) -> None:
    app = make(lab)
    heard: list[str] = []

    def hear(sender: str, **_: Any) -> None:
        heard.append(sender)

    for signal in (signals.before_task_publish, signals.after_task_publish):
        signal.connect(hear)
    try:
        app.tasks["add"].delay(1)
    finally:
        for signal in (signals.before_task_publish, signals.after_task_publish):
            signal.disconnect(hear)
    assert heard == ["add", "add"]
    assert line == [False]


@pytest.mark.parametrize(
    ("owner", "name"), [(Task, "apply_async"), (Celery, "send_task"), (Producer, "publish")]
)
def test_what_somebody_wraps_later_sees_each_job(
    lab: Any, line: list[bool], monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    """As Sentry, Datadog and OpenTelemetry do, also with an object that has the function's code."""
    app, seen = make(lab), []
    app.tasks["bare"].delay()
    around = getattr(owner, name)

    class Wrapped:
        __code__ = around.__code__

        def __get__(self, own: Any, _: Any = None) -> Any:
            return self if own is None else lambda *args, **options: self(own, *args, **options)

        def __call__(self, *args: Any, **options: Any) -> Any:
            seen.append(name)
            return around(*args, **options)

    monkeypatch.setattr(owner, name, Wrapped())
    app.tasks["bare"].delay()

    assert seen == [name]
    assert line[0], "the first went the short way"
    assert lab.redis.llen("celery") == 2


def test_a_kept_result_and_a_producer_of_the_callers_go_the_long_way(lab: Any, line: list[bool]) -> None:
    app = make(lab)
    app.conf.result_backend = "cache+memory://"
    app.tasks["add"].apply_async((1,), ignore_result=False)
    with app.producer_or_acquire() as producer:
        app.tasks["add"].apply_async((1,), producer=producer)
    assert lab.redis.llen("celery") == 2
    assert not any(line)


@pytest.mark.skipif(not hasattr(Producer, "batch"), reason="kombu has batches from 5.7 on")
def test_a_batch_of_the_callers_is_sent_when_it_ends(lab: Any, line: list[bool]) -> None:
    app = make(lab)
    with app.producer_or_acquire() as producer, producer.batch():
        app.tasks["add"].apply_async((1,), producer=producer)
        assert lab.redis.llen("celery") == 0
    assert lab.redis.llen("celery") == 1
    assert not any(line)


def test_arguments_that_the_task_does_not_take_are_refused(lab: Any) -> None:
    with pytest.raises(TypeError, match="missing 1 required"):
        make(lab).tasks["add"].delay()
    assert lab.redis.llen("celery") == 0


def test_a_test_mode_keeps_what_is_sent_before_and_after_a_job_went_out(lab: Any, line: list[bool]) -> None:
    app = make(lab)
    with fake(app) as jobs:
        app.tasks["add"].delay(1)
        assert len(jobs.enqueued) == 1
    app.tasks["add"].delay(2)
    with fake(app) as jobs:
        app.tasks["add"].delay(3)
        assert len(jobs.enqueued) == 1
    assert lab.redis.llen("celery") == 1
    assert line == [True]


def test_many_threads_send_at_once_and_all_jobs_arrive(lab: Any, line: list[bool]) -> None:
    job = make(lab).tasks["add"]
    threads = [threading.Thread(target=lambda: [job.delay(n) for n in range(20)]) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lab.redis.llen("celery") == 400
    assert line == [True] * 400


def test_a_forked_child_has_a_line_of_its_own(lab: Any, line: list[bool]) -> None:
    job = make(lab).tasks["add"]
    job.delay(1)
    child = os.fork()
    if not child:
        try:
            job.delay(2)
            job.delay(3)
        finally:
            os._exit(0)
    for _ in range(20):
        job.delay(4)
    os.waitpid(child, 0)
    assert lab.redis.llen("celery") == 23
    assert line == [True] * 21


def test_an_app_that_nobody_uses_any_more_leaves_no_connection_open(lab: Any, line: list[bool]) -> None:
    app = make(lab)
    app.tasks["add"].delay(1)
    assert clients(lab)
    gone = weakref.ref(app)
    del app
    gc.collect()
    assert gone() is None
    assert line == [True]
    lab.eventually(lambda: not clients(lab))


def clients(lab: Any) -> list[str]:
    """The connections of senders at the broker."""
    return [client["id"] for client in lab.redis.client_list() if client["cmd"] in ("zadd", "ping", "lpush")]


def test_the_parts_of_celery_that_the_short_way_leaves_out_are_as_we_know_them() -> None:
    """A failure means: read the new Celery, then mend `celery_impl.sidekiq.sending.fast_enqueue`."""
    sending, sender = (
        inspect.getsource(Celery.send_task),
        inspect.getsource(vars(AMQP)["_create_task_sender"]),
    )
    assert "self.backend.on_task_call(P, task_id)" in sending
    assert "def on_task_call" not in inspect.getsource(DisabledBackend)
    assert "reply_to or self.thread_oid" in sending
    assert "result.ignored = ignore_result" in sending
    assert "options = router.route(" in sending
    assert "exchange, routing_key = '', qname" in sender
    assert "headers2.update(headers)" in sender
    known = ["self", "args", "kwargs", "task_id", "producer", "link", "link_error", "shadow", "options"]
    assert list(inspect.signature(Task.apply_async).parameters) == known
    assert "dict(preopts, **options)" in inspect.getsource(Task.apply_async)
    signature = list(inspect.signature(Celery.send_task).parameters)
    assert {"chain", "group_id", "chord", "root_id", "parent_id"} <= set(signature)
    assert not {"chain", "group_id", "chord", "root_id", "parent_id", "stamped_headers"} & fast_enqueue.USABLE
