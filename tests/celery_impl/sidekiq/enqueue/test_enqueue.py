"""What the caller pays for a broker that is away: bounded with `Sidekiq(app)`, whatever the broker does.

Bounded shows by the order of events: the caller is answered while the broker is still away. How
many seconds that takes is the sum of constants; a benchmark's business, not a test's.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from celery import Celery
from kombu.exceptions import OperationalError

from celery_impl import profiles
from celery_impl.sidekiq import Sidekiq
from celery_impl.sidekiq.redis.deadline import left_s, within

#: Seconds that the constants of the hardened profile allow an enqueue, all told.
BOUND_S = profiles.POOL_TIMEOUT_S + profiles.CONNECT_TIMEOUT_S + profiles.SOCKET_TIMEOUT_S
#: Times that a test hands its first job over.
TRIES = 20


TRANSPORTS = pytest.mark.parametrize("form", ["{}", "lease+{}"], ids=["sidekiq", "lease"])


class SlowProxy:
    """Stands before the broker and keeps each piece of its answers back until `pace_s` have passed."""

    def __init__(self, url: str, *, pace_s: float) -> None:
        self._target = (urlsplit(url).hostname, urlsplit(url).port)
        self._pace_s = pace_s
        self._ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._ended.set()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            for source, sink, pace_s in ((client, server, 0.0), (server, client, self._pace_s)):
                threading.Thread(target=self._pump, args=(source, sink, pace_s), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, pace_s: float) -> None:
        with source, sink:
            try:
                while piece := source.recv(65536):
                    self._ended.wait(pace_s)
                    sink.sendall(piece)
            except OSError:
                return


@pytest.fixture
def slow(lab: Any) -> Iterator[SlowProxy]:
    made = SlowProxy(lab.broker.url, pace_s=0.2)
    yield made
    made.close()


def hand_over(task: Any, *arguments: Any) -> None:
    """Hand a job over to a broker that is there; on a busy machine the first tries may exceed their limit."""
    for _ in range(TRIES):
        with contextlib.suppress(OperationalError):
            task.delay(*arguments)
            return
    pytest.fail(f"the broker took no job in {TRIES} tries")


def plain_app(url: str, *, socket_timeout: float | None = None, **options: Any) -> Any:
    """Return the task of an app on Celery's own settings, but for Sidekiq and how long sockets wait."""
    app = Celery("plain", broker=url)
    if socket_timeout is not None:
        app.conf.broker_transport_options = {
            "socket_timeout": socket_timeout,
            "socket_connect_timeout": socket_timeout,
        }
    Sidekiq(app, **options)

    @app.task(name="plain.note", ignore_result=True, shared=False)
    def note(job: str) -> str:
        return job

    return note


def refusing_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def refused(sample: Any) -> bool:
    """Whether an enqueue comes back with a refusal; it may not come back at all."""
    with pytest.raises(OperationalError):
        sample.note.delay("a")
    return True


def test_the_constants_of_the_profile_add_up_to_no_more_than_a_second() -> None:
    assert BOUND_S <= 1.0


@TRANSPORTS
def test_a_refusing_broker_is_answered_for_while_it_is_away(lab: Any, form: str) -> None:
    sample = lab.sample(REDIS_URL=form.format(lab.broker.url))
    sample.note.delay("a")

    lab.broker.kill()

    assert all(refused(sample) for _ in range(3))


@TRANSPORTS
def test_a_silent_broker_is_given_up_whether_connected_before_or_not(lab: Any, form: str) -> None:
    url = form.format(lab.broker.url)
    connected, fresh = lab.sample(REDIS_URL=url), lab.sample(REDIS_URL=url)
    connected.note.delay("a")

    lab.broker.pause()

    assert all(refused(sample) for sample in (connected, connected, fresh, fresh))


@TRANSPORTS
def test_many_callers_at_once_are_all_answered_by_a_silent_broker(lab: Any, form: str) -> None:
    sample = lab.sample(REDIS_URL=form.format(lab.broker.url))
    lab.broker.pause()
    answers: list[bool] = []
    callers = [threading.Thread(target=lambda: answers.append(refused(sample))) for _ in range(30)]

    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()

    assert answers == [True] * 30


@TRANSPORTS
def test_an_enqueue_works_again_once_the_broker_does(lab: Any, form: str) -> None:
    sample = lab.sample(REDIS_URL=form.format(lab.broker.url))
    sample.note.delay("a")
    lab.broker.kill()
    refused(sample)

    lab.broker.restart()
    sample.note.delay("b")

    queued = [json.loads(message)["headers"]["argsrepr"] for message in lab.redis.lrange("celery", 0, -1)]
    assert queued == ["('b',)", "('a',)"]


@TRANSPORTS
def test_on_celerys_own_settings_a_broker_that_refuses_or_is_silent_does_not_hold_the_caller(
    lab: Any, form: str
) -> None:
    note = plain_app(form.format(lab.broker.url), enqueue_within_s=0.3)
    hand_over(note, "a")

    lab.broker.pause()
    for task in (note, plain_app(form.format(lab.broker.url), enqueue_within_s=0.3)):
        with pytest.raises(OperationalError):
            task.delay("b")
    lab.broker.resume()
    lab.broker.kill()
    for task in (note, plain_app(form.format(f"redis://127.0.0.1:{refusing_port()}/0"))):
        with pytest.raises(OperationalError):
            task.delay("c")


@TRANSPORTS
def test_a_silent_broker_that_keeps_the_results_too_does_not_hold_the_caller(lab: Any, form: str) -> None:
    app = Celery("results", broker=form.format(lab.broker.url), backend=lab.broker.url)
    Sidekiq(app, enqueue_within_s=0.3)
    task = app.task(name="results.note", shared=False)(refusing_port)
    hand_over(task)
    lab.broker.pause()

    for _ in range(3):
        with pytest.raises(OperationalError):
            task.delay()
    lab.broker.resume()


@TRANSPORTS
def test_a_message_that_does_not_fit_into_the_kernels_buffers_is_given_up_too(lab: Any, form: str) -> None:
    note = plain_app(form.format(lab.broker.url), enqueue_within_s=0.3)
    hand_over(note, "a")
    lab.broker.pause()

    with pytest.raises(OperationalError):
        note.delay("x" * 50_000_000)


@TRANSPORTS
def test_the_bound_counts_for_all_of_an_enqueue_and_not_for_each_answer(
    lab: Any, slow: SlowProxy, form: str
) -> None:
    """Each answer comes in time for a socket; a new connection needs several, so together they do not."""
    url = form.format(slow.url)

    with pytest.raises(OperationalError, match=r"within the time|Timeout"):
        plain_app(url, enqueue_within_s=0.3).delay("a")
    plain_app(url, enqueue_within_s=20).delay("b")

    queued = [json.loads(message)["headers"]["argsrepr"] for message in lab.redis.lrange("celery", 0, -1)]
    assert queued == ["('b',)"]


@TRANSPORTS
@pytest.mark.timeout(30)
def test_the_bound_ends_an_enqueue_whose_own_socket_would_wait_longer(lab: Any, form: str) -> None:
    """The time limit of the test is what fails otherwise: a silent broker never answers."""
    url = form.format(lab.broker.url)
    connected, fresh = (plain_app(url, enqueue_within_s=0.3, socket_timeout=1000.0) for _ in range(2))
    hand_over(connected, "a")
    lab.broker.pause()

    for task in (connected, fresh):
        with pytest.raises(OperationalError):
            task.delay("b")


@TRANSPORTS
@pytest.mark.timeout(30)
def test_a_socket_that_waits_less_than_the_bound_ends_an_enqueue(lab: Any, form: str) -> None:
    task = plain_app(form.format(lab.broker.url), enqueue_within_s=1000.0, socket_timeout=0.3)
    hand_over(task, "a")
    lab.broker.pause()

    with pytest.raises(OperationalError):
        task.delay("b")


def test_the_inner_of_two_bounds_cannot_outlast_the_outer_one() -> None:
    with within(0.0), within(100.0), pytest.raises(redis.TimeoutError):
        left_s()
    with within(100.0), within(200.0):
        assert (left_s() or 0) <= 100
    assert left_s() is None


def test_the_private_parts_of_redis_py_that_the_bound_uses_are_as_we_know_them() -> None:
    """A failure means: read the new redis-py, then mend `deadline`."""
    connection: Any = redis.Connection
    assert "sock.settimeout(self.socket_connect_timeout)" in inspect.getsource(connection._connect)
    assert "self._sock.sendall(item)" in inspect.getsource(connection.send_packed_command)


def test_stock_celery_still_blocks_on_a_silent_broker_after_the_hardened_bound(lab: Any) -> None:
    sample = lab.sample("stock")
    sample.note.delay("a")
    lab.broker.pause()
    caller = threading.Thread(target=sample.note.delay, args=("b",), daemon=True)

    caller.start()
    caller.join(BOUND_S)

    assert caller.is_alive()
    lab.broker.resume()
    caller.join()
