"""Where jobs are that have neither run nor been given up: what tells a stuck job from a lost one."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any, Final

import redis
from celery import Celery
from kombu import Connection
from kombu.exceptions import OperationalError

from celery_impl import names
from celery_impl.sidekiq.lease.lease_store import LeaseStore
from celery_impl.sidekiq.lease.pipelined_commands import PipelinedCommands
from celery_impl.sidekiq.redis.sets import RETRY, SCHEDULE, Sets

#: Seconds that workers have to tell what they run.
INSPECT_S: Final = 0.7
#: Transport options that keep a silent broker from holding the question up, in either profile; the
#: last is what closing the connection waits for a last message.
BOUNDS: Final = {
    "socket_timeout": 1.0,
    "socket_connect_timeout": 0.5,
    "max_retries": 0,
    "polling_interval": 0.05,
}

QUEUE: Final = "queue"
UNACKED: Final = "unacked"
WORKER: Final = "worker"
SCHEDULE_SET: Final = "schedule set"
RETRY_SET: Final = "retry set"
DEAD_SET: Final = "dead set"


def pending_jobs(app: Celery) -> dict[str, str]:
    """Return every job of the ledger that the broker or a worker holds, with where; takes about a second.

    Where: queue, unacked (fetched by a worker that may be dead), worker (running in a living one),
    schedule set, retry set, dead set. A job that moves meanwhile may be missed: look at a system at
    rest. Raise kombu's OperationalError where the broker is away or silent: nobody knows then.
    """
    try:
        return _pending_jobs(app)
    except (redis.RedisError, OSError) as error:
        raise OperationalError(str(error)) from error


def _pending_jobs(app: Celery) -> dict[str, str]:
    if str(app.conf.broker_url).startswith("amqp"):
        return _on_rabbitmq(app)
    found: dict[str, str] = {}
    options = {**app.conf.broker_transport_options, **BOUNDS}
    with app.connection_for_read(transport_options=options) as connection:
        channel: Any = connection.default_channel
        client = redis.Redis(connection_pool=channel.pool)
        for where, message in messages(app, channel, client):
            _note(found, where, message)
        for dead_job in Sets(client, prefix=channel.global_keyprefix).dead_jobs():
            _name(found, DEAD_SET, dead_job.task, dead_job.args)
        for task in running(app, connection):
            _name(found, WORKER, task["name"], task["args"])
    return found


def _on_rabbitmq(app: Celery) -> dict[str, str]:
    from celery_impl import pending_jobs_on_rabbitmq  # late: most apps have no RabbitMQ

    with app.connection_for_read() as connection:
        found = pending_jobs_on_rabbitmq.waiting(app, connection)
        for task in running(app, connection):
            _name(found, WORKER, task["name"], task["args"])
    return found


def messages(app: Celery, channel: Any, client: redis.Redis) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every message of the app that waits on Redis, with where it is, as kombu wrote it."""
    prefix = channel.global_keyprefix
    for queue in app.amqp.queues:
        for step in channel.priority_steps:
            for text in _bytes(client.lrange(f"{prefix}{channel._q_for_pri(queue, step)}", 0, -1)):  # noqa: SLF001 - pinned by a test
                yield QUEUE, json.loads(text)
    for text in _bytes(client.hvals(prefix + channel.unacked_key)):
        yield UNACKED, json.loads(text)[0]
    for taken in LeaseStore(PipelinedCommands(lambda: channel.pool), prefix=prefix).jobs_by_holder().values():
        for message in taken:
            yield UNACKED, json.loads(message)
    sets = Sets(client, prefix=prefix)
    for where, name in ((SCHEDULE_SET, SCHEDULE), (RETRY_SET, RETRY)):
        for waiting in sets.waiting(name):
            yield where, json.loads(waiting)


def running(app: Celery, connection: Connection) -> list[dict[str, Any]]:
    """Return the tasks that living workers run."""
    answers: Any = app.control.inspect(timeout=INSPECT_S, connection=connection).active() or {}
    return [task for tasks in answers.values() for task in tasks]


def _note(found: dict[str, str], where: str, message: dict[str, Any]) -> None:
    body = message["body"]
    if message["properties"].get("body_encoding") == "base64":
        body = base64.b64decode(body)
    _name(found, where, message["headers"]["task"], json.loads(body)[0])


def _name(found: dict[str, str], where: str, task: str, args: Any) -> None:
    job = names.job_of(task, args)
    if job is not None:
        found[job.name] = where


def _bytes(answer: Any) -> list[bytes]:
    """Return the list that redis-py's blocking client returns; its annotations also allow an awaitable."""
    return list(answer)
