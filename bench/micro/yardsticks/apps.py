"""The job of the yardsticks as each library has it; the workers' processes import this file.

Each is set up as its documentation advises where no job may be lost: Celery acknowledges late, taskiq has its
stream (`RedisStreamBroker`) and a coroutine, dramatiq acknowledges after the run by itself. No results.
Sidekiq has no acknowledgement: it loses what runs when it is killed.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
import uuid
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import redis

#: Variables of a worker's process: which peer, its broker, and the file that takes each job's delay in s.
PEER, URL, DELAYS = "YARDSTICK_PEER", "YARDSTICK_URL", "YARDSTICK_DELAYS"
#: The job's name, where a library wants one.
NAME: Final = "nothing"
#: Sends one job, whose argument is when it was sent (`time.monotonic`), or 0: nothing is noted.
Send = Callable[[float], object]


class Made(NamedTuple):
    """An app or broker, what sends a job through it, and what closes its connections."""

    app: Any
    send: Send
    close: Callable[[], object]


def nothing(sent: float) -> None:
    """Do nothing, or note how long ago it was sent."""
    if sent:
        line = f"{time.monotonic() - sent}\n".encode()
        file = os.open(os.environ[DELAYS], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, line)
        os.close(file)


async def nothing_async(sent: float) -> None:
    """As `nothing`."""
    nothing(sent)


def make_celery(url: str) -> Made:
    """A Celery app, with `Sidekiq(app)` where the URL has the lease, and its `delay`."""
    from celery import Celery  # late, as each of these: a worker imports its own library alone

    from celery_impl.sidekiq import Sidekiq

    made = Celery("yardstick", broker=url)
    made.conf.update(task_acks_late=True, task_ignore_result=True)
    if url.startswith("lease+"):
        Sidekiq(made)
    return Made(made, made.task(name=NAME, shared=False)(nothing).delay, made.close)


def make_dramatiq(url: str) -> Made:
    """A broker of dramatiq on Redis, and its `send`."""
    import dramatiq
    from dramatiq.brokers.redis import RedisBroker

    made: Any = RedisBroker(url=url)  # type: ignore[no-untyped-call] # dramatiq's
    dramatiq.set_broker(made)
    return Made(made, dramatiq.actor(nothing).send, made.close)


def make_taskiq(url: str) -> Made:
    """A broker of taskiq on a stream of Redis, and its `kiq`, awaited in a loop of its own."""
    from taskiq_redis import RedisStreamBroker

    made = RedisStreamBroker(url)
    job = made.task(task_name=NAME)(nothing_async)
    loop = asyncio.new_event_loop()

    def close() -> None:
        loop.run_until_complete(made.shutdown())
        loop.close()

    return Made(made, lambda sent: loop.run_until_complete(job.kiq(sent)), close)


def make_sidekiq(url: str) -> Made:
    """What queues a job for Sidekiq, as its client does; the worker's app is `nothing.rb`."""
    client = redis.Redis.from_url(url)

    def send(sent: float) -> None:
        now = time.time()
        job = {
            "class": "Nothing",
            "args": [sent],
            "queue": "default",
            "retry": True,
            "jid": uuid.uuid4().hex[:24],
        }
        client.lpush("queue:default", json.dumps({**job, "created_at": now, "enqueued_at": now}))

    return Made(client, send, client.close)


if URL in os.environ:
    _make = {"dramatiq": make_dramatiq, "taskiq": make_taskiq}.get(os.environ[PEER], make_celery)
    app = broker = _make(os.environ[URL]).app
