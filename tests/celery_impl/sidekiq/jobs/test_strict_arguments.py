from __future__ import annotations

import json
import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import IntEnum
from importlib.util import find_spec
from typing import Any
from uuid import UUID

import pytest
from celery import Celery, chain
from hypothesis import given
from hypothesis import strategies as st

from celery_impl.sidekiq import ArgumentsError, Sidekiq
from celery_impl.sidekiq.api import DeadSet
from celery_impl.sidekiq.jobs.strict_arguments import DEPTH_LIMIT, check
from celery_impl.sidekiq.testing import fake

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


class Colour(IntEnum):
    RED = 1


@dataclass
class Point:
    """Something with `==` of its own."""

    x: int


class Plain:
    """Something that equals itself alone."""

    def __init__(self, x: int) -> None:
        self.x = x


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@given(args=st.lists(JSON, max_size=4), kwargs=st.dictionaries(st.text(), JSON, max_size=4))
def test_what_json_gives_back_is_taken(args: list[Any], kwargs: dict[str, Any]) -> None:
    assert json.loads(json.dumps([args, kwargs])) == [args, kwargs]
    check("t", tuple(args), kwargs)


@pytest.mark.parametrize(
    ("args", "kwargs", "path"),
    [
        (((1, 2),), {}, r"args\[0\] is of type tuple.*send a list"),
        ((0, {"user": [{"tags": {1, 2}}]}), {}, r"args\[1\]\['user'\]\[0\]\['tags'\] is of type set"),
        (({1: "a"},), {}, r"args\[0\] has the key 1.*send '1'"),
        ((), {"at": timedelta(1)}, r"kwargs\['at'\] is of type timedelta"),
        (([datetime(2026, 1, 1, tzinfo=UTC), (1,)],), {}, r"args\[0\]\[1\] is of type tuple"),
        ((float("nan"),), {}, r"args\[0\] is the float nan"),
        (([float("inf")],), {}, r"args\[0\]\[0\] is the float inf"),
        ((Colour.RED,), {}, r"args\[0\] is of type Colour.*plain int"),
        ((OrderedDict(a=1),), {}, r"args\[0\] is of type OrderedDict.*plain dict"),
        ((nested(DEPTH_LIMIT + 1),), {}, r"args\[0\](\[0\]){100} lies more than 100 deep"),
    ],
)
def test_what_it_does_not_is_refused_with_its_path(args: Any, kwargs: Any, path: str) -> None:
    with pytest.raises(ArgumentsError, match=f"^mail.send: {path}"):
        check("mail.send", args, kwargs)


ID = UUID(int=7)
NEEDS_MSGPACK = pytest.mark.skipif(find_spec("msgpack") is None, reason="pip install msgpack")


@pytest.mark.parametrize(
    ("serializer", "value"),
    [
        ("json", [ID, {"at": datetime(2026, 1, 1, tzinfo=UTC), "day": date(2026, 1, 1)}, Decimal("1.10")]),
        ("json", b"bytes"),
        ("pickle", (1, {2, 3}, {4: (5,)}, Colour.RED, Point(1), Plain(2), timedelta(1))),
        ("pickle", float("nan")),
        pytest.param("msgpack", [b"bytes", {"a": 1.5}], marks=NEEDS_MSGPACK),
        ("no such serializer", (1,)),
    ],
)
def test_what_the_serializer_of_the_job_gives_back_is_taken(serializer: str, value: Any) -> None:
    check("t", (value,), {"also": value}, serializer=serializer)


@pytest.mark.parametrize(
    ("serializer", "value", "text"),
    [
        ("json", {"ids": (ID,)}, r"args\[0\]\['ids'\] is of type tuple, which JSON does not give back"),
        ("json", Point(1), r"args\[0\] is of type Point, which JSON"),
        pytest.param(
            "msgpack", [(1,)], r"args\[0\]\[0\] is of type tuple, which msgpack", marks=NEEDS_MSGPACK
        ),
        pytest.param("msgpack", {1: 2}, r"args\[0\] has the key 1, which msgpack", marks=NEEDS_MSGPACK),
        ("pickle", ((1, threading.Lock()),), r"args\[0\]\[0\]\[1\] is of type lock, which pickle does not"),
    ],
)
def test_what_it_does_not_give_back_is_refused_with_the_switch_that_lets_it_pass(
    serializer: str, value: Any, text: str
) -> None:
    with pytest.raises(ArgumentsError, match=f"{text}.* or sidekiq_strict_arguments=False on the task"):
        check("t", (value,), {}, serializer=serializer)


def test_the_serializer_is_that_of_the_call_else_of_the_task_else_of_the_app(app: Celery) -> None:
    Sidekiq(app)
    app.conf.update(task_serializer="pickle", accept_content=["json", "pickle"])

    @app.task(name="of.app", shared=False)
    def of_app(value: Any) -> None: ...

    @app.task(name="of.task", shared=False, serializer="json")
    def of_task(value: Any) -> None: ...

    with fake(app) as jobs:
        of_app.delay((1,))
        app.send_task("of.app", ((1,),))
        of_task.apply_async(((1,),), serializer="pickle")
        for refused in (
            lambda: of_task.delay((1,)),
            lambda: of_app.apply_async(((1,),), serializer="json"),
            lambda: app.send_task("of.app", ((1,),), serializer="json"),
            lambda: of_task.apply(((1,),)),
        ):
            with pytest.raises(ArgumentsError, match="JSON does not give back"):
                refused()  # type: ignore[no-untyped-call] # app.task is untyped
        assert jobs.drain() == 3


def test_as_deep_as_the_limit_is_taken_and_what_contains_itself_is_refused() -> None:
    check("t", [nested(DEPTH_LIMIT)], {})
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ArgumentsError, match="contains itself"):
        check("t", [endless], {})


@pytest.fixture
def app() -> Celery:
    made = Celery(broker="redis://127.0.0.1:1", set_as_current=False)
    made.conf.task_publish_retry = False
    return made


def test_every_way_to_send_a_job_is_checked_before_the_broker_is_asked(app: Celery) -> None:
    Sidekiq(app)

    @app.task(name="t", shared=False)
    def task(*_: Any) -> None: ...

    bad = {"a": (1,)}
    ways = [
        lambda: task.delay(bad),
        lambda: task.apply_async((bad,), countdown=5),
        lambda: app.send_task("unknown.here", (bad,)),
        lambda: chain(task.s(bad), task.s()).apply_async(),
        lambda: task.apply((bad,)),
    ]
    for way in ways:
        with pytest.raises(ArgumentsError, match=r"args\[0\]\['a'\]"):
            way()  # type: ignore[no-untyped-call] # canvas is untyped
    app.conf.task_always_eager = True
    for argument in (bad, {"a": object()}):
        with pytest.raises(ArgumentsError, match=r"args\[0\]\['a'\]"):
            task.delay(argument)


def test_in_eager_mode_a_job_that_runs_another_of_its_task_has_that_ones_arguments_checked(
    app: Celery,
) -> None:
    Sidekiq(app)
    app.conf.task_always_eager = app.conf.task_eager_propagates = True

    @app.task(name="t", shared=False)
    def task(job: Any) -> None:
        if job == "outer":
            task.apply(((1, 2),))

    with pytest.raises(ArgumentsError, match=r"args\[0\] is of type tuple"):
        task.delay("outer")


def test_a_task_or_an_app_may_go_without(app: Celery) -> None:
    Sidekiq(app, strict_arguments=False)

    @app.task(name="loose", shared=False)
    def loose(value: Any) -> Any:
        return value

    @app.task(name="strict", shared=False, sidekiq_strict_arguments=True)
    def strict(value: Any) -> Any:
        return value

    assert loose.apply(((1, 2),)).get() == (1, 2)
    with pytest.raises(ArgumentsError):
        strict.apply(((1, 2),))


@pytest.mark.parametrize("fetch", ["timeout", "lease"])
def test_a_chain_whose_next_task_refuses_a_result_fails_and_the_worker_goes_on(lab: Any, fetch: str) -> None:
    lab.app = "dying_app"
    dying = lab.sample(QUEUE_OR_TASK_FETCH=fetch)
    worker = lab.worker()
    chain(dying.gives_a_tuple.s("first"), dying.done.s()).apply_async()
    dying.done.delay("after")
    lab.eventually(lambda: lab.runs("done", "after"))
    assert lab.runs("start", "first")
    lab.eventually(lambda: "args[0] is of type tuple" in worker.output)
    [dead] = lab.eventually(lambda: list(DeadSet(dying.app)))
    assert (dead.args, dead.error_class) == (["first"], "ArgumentsError")
    assert not worker.ended


def test_a_job_that_a_careless_program_sent_is_retried_and_buried_as_it_came(lab: Any) -> None:
    lab.app = "dying_app"
    dying = lab.sample()
    lab.worker()
    careless = Celery(broker=lab.broker.url, set_as_current=False)
    careless.send_task("dying_app.twice", ("dead",), {"also": float("nan")})
    careless.send_task("dying_app.choosy", ("lookup",), {"also": float("nan")})
    dead_jobs = lab.eventually(lambda: len(found := list(DeadSet(dying.app))) == 2 and found)
    assert {dead_job.task: dead_job.count for dead_job in dead_jobs} == {
        "dying_app.twice": 1,
        "dying_app.choosy": 0,
    }
    assert all(dead_job.message for dead_job in dead_jobs)
    assert [len(lab.runs("start", job)) for job in ("dead", "lookup")] == [2, 1]
    careless.close()
