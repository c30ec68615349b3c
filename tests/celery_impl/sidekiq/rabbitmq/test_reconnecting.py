"""A worker and a RabbitMQ whose connections do not last: it waits, comes back, and no job dies of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from celery_impl.sidekiq.api import DeadSet
from celery_impl.sidekiq.rabbitmq.reconnecting import FIRST_S, LONGEST_S, SETTLED_S, Backoff
from tests.celery_impl.refusing_broker import INTERNAL_ERROR, NOT_FOUND, RefusingBroker, refusing_broker


@pytest.fixture
def door(rabbit_lab: Any) -> Iterator[RefusingBroker]:
    """What the workers of the lab take for the broker; the test itself sends past it."""
    with refusing_broker(rabbit_lab.node.port) as opened:
        yield opened


@pytest.fixture
def rabbit(rabbit_lab: Any, door: RefusingBroker) -> Any:
    app = rabbit_lab.sample()
    rabbit_lab.env["AMQP_URL"] = f"amqp://guest:guest@127.0.0.1:{door.port}//"
    return app


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("connection.open", INTERNAL_ERROR),
        ("basic.consume", INTERNAL_ERROR),
        ("basic.consume", NOT_FOUND),
    ],
)
def test_a_worker_whose_broker_is_not_ready_yet_waits_and_comes_back(
    rabbit_lab: Any, rabbit: Any, door: RefusingBroker, method: str, answer: Any
) -> None:
    worker = rabbit_lab.worker()

    door.refuse(method, for_s=FIRST_S + 1, answer=answer)
    rabbit.note.delay("a")

    rabbit_lab.eventually(lambda: rabbit_lab.runs("done", "a"))
    assert not worker.ended
    assert 1 <= door.refusals <= 3, "at once, after 2 s and after 4 s more at most"


def test_no_job_dies_of_a_broker_that_is_ill_for_a_moment(
    rabbit_lab: Any, rabbit: Any, door: RefusingBroker
) -> None:
    """Each delivery that fails counts, and three make a job dead."""
    worker = rabbit_lab.worker()

    door.refuse("basic.deliver", for_s=FIRST_S / 2)
    rabbit.note.delay("a")

    rabbit_lab.eventually(lambda: rabbit_lab.runs("done", "a"))
    rabbit.note.delay("after")
    rabbit_lab.eventually(lambda: rabbit_lab.runs("done", "after"))
    assert door.refusals >= 1
    assert DeadSet(rabbit.app).size() == 0
    assert not worker.ended


@pytest.mark.usefixtures("rabbit")
def test_a_worker_that_waits_for_its_broker_ends_when_it_is_told_to(
    rabbit_lab: Any, door: RefusingBroker
) -> None:
    worker = rabbit_lab.worker()
    door.refuse("connection.open", for_s=3600)
    rabbit_lab.eventually(lambda: "the next one in 4 s" in worker.output)
    worker.terminate()
    assert worker.exit_code == 0


def test_each_connection_that_does_not_last_doubles_the_wait_up_to_half_a_minute() -> None:
    backoff = Backoff()
    waits = [backoff.wait_s(now=float(attempt)) for attempt in range(8)]
    assert waits == [0, 2, 4, 8, 16, 30, 30, 30]
    assert waits[-1] == LONGEST_S


@pytest.mark.parametrize(
    ("lasted_s", "wait_s"), [(0.0, FIRST_S), (SETTLED_S - 0.1, FIRST_S), (SETTLED_S, 0.0)]
)
def test_a_connection_that_has_lasted_is_followed_at_once(lasted_s: float, wait_s: float) -> None:
    backoff = Backoff()
    for start in (100.0, 200.0):
        assert backoff.wait_s(start) == 0.0
        backoff.connected(start)
        assert backoff.wait_s(start + lasted_s) == wait_s
        backoff.connected(start + 50)
