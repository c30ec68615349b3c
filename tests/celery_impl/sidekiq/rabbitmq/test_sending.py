"""Sending to RabbitMQ: in bounded time, to queues that exist; what is refused, and how."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import amqp
import pytest
from celery import Celery
from kombu import Exchange, Queue, pools
from kombu.exceptions import OperationalError

from celery_impl.sidekiq import ArgumentsError, BufferFullError, Limiter, Sidekiq, api
from celery_impl.sidekiq.beat import LeasedScheduler, PeriodicEntries
from celery_impl.sidekiq.rabbitmq import RabbitMQError
from celery_impl.sidekiq.rabbitmq.check import check_version
from celery_impl.sidekiq.rabbitmq.delayed_delivery import LONGEST_S

#: Seconds that an enqueue may take, twice: so far apart that no busy machine takes one for the other.
SHORT_S, LONG_S = 0.25, 3.0


@pytest.fixture
def rabbit(rabbit_lab: Any) -> Any:
    return rabbit_lab.sample()


def made(url: str = "amqp://", **settings: Any) -> Celery:
    """An app on RabbitMQ that nobody connects."""
    app = Celery("made", broker=url)
    app.conf.update(settings)
    Sidekiq(app)
    return app


def refused(send: Any) -> float:
    """Seconds until an enqueue failed, as it should."""
    begun = time.monotonic()
    with pytest.raises(OperationalError):
        send()
    return time.monotonic() - begun


def test_arguments_are_as_strict_as_on_redis(rabbit: Any) -> None:
    with pytest.raises(ArgumentsError, match=r"args\[0\]\['a'\] is of type tuple"):
        rabbit.note.delay({"a": (1, 2)})


@pytest.mark.parametrize("before", [True, False], ids=["connected", "new"])
@pytest.mark.parametrize("options", [{}, {"countdown": 60}], ids=["now", "later"])
def test_a_silent_broker_refuses_within_the_bound_and_serves_again_afterwards(
    rabbit_lab: Any, rabbit: Any, options: dict[str, Any], *, before: bool
) -> None:
    rabbit_lab.eventually(lambda: _sent(rabbit, "first", {"countdown": 60}))
    if not before:
        pools.reset()
        rabbit = rabbit_lab.sample()
    rabbit_lab.node.pause()
    promised_s = rabbit.note.sidekiq_within_s
    took: dict[float, list[float]] = {SHORT_S: [], LONG_S: []}
    try:
        for bound_s in (SHORT_S, SHORT_S, LONG_S):
            rabbit.note.sidekiq_within_s = bound_s
            took[bound_s].append(refused(lambda: rabbit.note.apply_async(["a"], **options)))
    finally:
        rabbit_lab.node.resume()
        rabbit.note.sidekiq_within_s = promised_s
    assert max(took[SHORT_S]) < min(took[LONG_S]), took
    rabbit_lab.eventually(lambda: _sent(rabbit, "after", options))


def test_with_a_buffer_jobs_are_kept_while_the_broker_is_silent_and_sent_in_order(rabbit_lab: Any) -> None:
    rabbit = rabbit_lab.sample(SAMPLE_BUFFER="3")
    rabbit.note.delay("first")
    rabbit_lab.node.pause()
    try:
        for job in "abc":
            rabbit.note.delay(job)
        with pytest.raises(BufferFullError):
            rabbit.note.delay("d")
    finally:
        rabbit_lab.node.resume()
    rabbit_lab.worker("--concurrency", "1")
    for job in "abc":
        rabbit_lab.eventually(lambda job=job: rabbit_lab.runs("done", job))
    begun = [rabbit_lab.runs("start", job)[0][1] for job in "abc"]
    assert begun == sorted(begun)


def test_a_job_that_no_queue_takes_is_an_error_and_the_next_one_finds_its_queue_declared_anew(
    rabbit_lab: Any, rabbit: Any
) -> None:
    rabbit.note.delay("a")
    with rabbit_lab.node.connect() as connection:
        connection.channel().queue_delete("celery")
    with pytest.raises(OperationalError, match="NO_ROUTE"):
        rabbit.note.delay("b")
    rabbit.note.delay("c")


def test_a_queue_of_another_kind_is_named_by_the_enqueue_and_stops_the_worker_with_the_next_step(
    rabbit_lab: Any, rabbit: Any
) -> None:
    with rabbit_lab.node.connect() as connection:
        connection.channel().queue_declare("celery", durable=True, auto_delete=False)
    with pytest.raises(RabbitMQError, match=r"'celery'.*give the app a new one, as by task_default_queue"):
        rabbit.note.delay("a")
    worker = rabbit_lab.start()
    rabbit_lab.eventually(lambda: worker.ended)
    assert worker.exit_code == os.EX_CONFIG
    assert "give the app a new one" in worker.output
    assert "Traceback" not in worker.output


def test_an_expired_job_is_dropped_by_the_worker_and_is_not_dead(rabbit_lab: Any, rabbit: Any) -> None:
    rabbit.note.apply_async(["a"], expires=0.01)
    rabbit.note.apply_async(["b"], expires=60)
    rabbit_lab.worker()
    rabbit_lab.eventually(lambda: rabbit_lab.runs("done", "b"))
    assert not rabbit_lab.runs("start", "a")
    assert api.DeadSet(rabbit.app).size() == 0


def test_a_delay_that_the_delay_queues_cannot_count_is_refused(rabbit: Any) -> None:
    with pytest.raises(ValueError, match="is too long: RabbitMQ's delay queues count to 268435455 s"):
        rabbit.note.apply_async(["a"], countdown=LONGEST_S + 1)


def test_an_eta_of_less_than_a_second_or_in_the_past_is_taken(rabbit_lab: Any, rabbit: Any) -> None:
    now = datetime.now(UTC)
    rabbit.note.apply_async(["soon"], eta=now + timedelta(seconds=0.3))
    rabbit.note.apply_async(["past"], eta=now - timedelta(seconds=5))
    rabbit_lab.worker()
    for job in ("soon", "past"):
        rabbit_lab.eventually(lambda job=job: rabbit_lab.runs("done", job))


def test_what_needs_redis_is_refused_where_it_is_asked_for_by_one_line() -> None:
    app = made()
    asked: dict[str, Any] = {
        "RetrySet": lambda: api.RetrySet(app),
        "ScheduledSet": lambda: api.ScheduledSet(app),
        "Queue": lambda: api.Queue(app, "celery").pause(),
        "Workers": lambda: api.Workers(app),
        "Stats": lambda: api.Stats.of(app),
        "PeriodicEntries": lambda: PeriodicEntries(app),
        "a limit or a unique job": lambda: Limiter.window(app, "crm", "10/s").within_limit().__enter__(),
    }
    for what, ask in asked.items():
        with pytest.raises(
            RabbitMQError, match=rf"^{what} does not work on RabbitMQ: .*; or use a redis:// "
        ):
            ask()


def test_a_task_whose_options_need_redis_is_refused_as_it_is_made() -> None:
    app = made()

    def run() -> None: ...

    options: tuple[dict[str, Any], ...] = ({"sidekiq_unique": "until_done"}, {"sidekiq_limits": [object()]})
    for option in options:
        [name] = option
        with pytest.raises(RabbitMQError, match=f"^{name} does not work on RabbitMQ"):
            app.register_task(type(name, (app.Task,), {"name": name, "run": run, **option})())


def test_the_leased_beat_is_refused() -> None:
    with pytest.raises(Exception, match=r"needs an app with Sidekiq\(app\), and so Redis"):
        LeasedScheduler(made())


@pytest.mark.parametrize(
    ("queue", "advice"),
    [
        (Queue("q", queue_arguments={"x-queue-type": "classic"}), "leave x-queue-type out"),
        (Queue("q", auto_delete=True), "leave exclusive and auto_delete out"),
        (Queue("q", durable=False), "leave durable=False out"),
        (Queue("q", max_priority=5), "leave priorities out"),
        (Queue("q", queue_arguments={"x-max-priority": 5}), "leave priorities out"),
        (Queue("q", Exchange("e", "direct")), "make its exchange a topic one"),
    ],
)
def test_a_queue_that_cannot_be_a_quorum_queue_is_refused_with_what_to_do(queue: Queue, advice: str) -> None:
    with pytest.raises(RabbitMQError, match=f"queue 'q' cannot be used on RabbitMQ: {advice}"):
        _ = made(task_queues=[queue]).amqp.queues


def test_an_apps_own_arguments_of_a_queue_count() -> None:
    own = Queue("q", Exchange("q", "topic"), "q", queue_arguments={"x-delivery-limit": 7})
    arguments: Any = made(task_queues=[own]).amqp.queues["q"].queue_arguments
    assert (arguments["x-delivery-limit"], arguments["x-queue-type"]) == (7, "quorum")
    assert arguments["x-dead-letter-exchange"] == "sidekiq.dead"


def test_priorities_are_refused_at_once() -> None:
    with pytest.raises(RabbitMQError, match="quorum queues have none"):
        made(task_queue_max_priority=9)


def test_tls_checks_the_servers_certificate_unless_the_app_says_otherwise() -> None:
    assert made("amqps://rabbit.example").conf.broker_use_ssl["server_hostname"] is None
    assert made("amqps://rabbit.example", broker_use_ssl={"ca_certs": "x"}).conf.broker_use_ssl == {
        "ca_certs": "x"
    }
    assert not made("pyamqp://rabbit.example").conf.broker_use_ssl


def test_a_rabbitmq_that_is_too_old_is_refused() -> None:
    check_version({"version": "3.10.0"})
    check_version({"version": "4.1.2"})
    check_version({})
    with pytest.raises(RabbitMQError, match=r"RabbitMQ 3\.9\.29 cannot delay .* upgrade it to 3\.10"):
        check_version({"version": "3.9.29"})


def test_a_worker_that_takes_more_than_it_runs_is_warned_of(rabbit_lab: Any) -> None:
    rabbit_lab.sample()
    worker = rabbit_lab.worker("--prefetch-multiplier", "4")
    assert "jobs that wait in a worker count as tried" in worker.output
    assert "jobs that wait in a worker count as tried" not in rabbit_lab.worker().output


def _sent(rabbit: Any, job: str, options: dict[str, Any]) -> bool:
    try:
        rabbit.note.apply_async([job], **options)
    except (OperationalError, amqp.AMQPError):
        return False
    return True


def test_a_broker_that_is_gone_refuses_the_first_time_and_the_second(rabbit_lab: Any, rabbit: Any) -> None:
    rabbit.note.delay("a")
    rabbit_lab.node.kill()
    refused(lambda: rabbit.note.delay("b"))
    refused(lambda: rabbit.note.delay("b"))
