"""The calls that have not ended, by their Celery ids, with the place where each waits."""

from __future__ import annotations

from typing import Any

import redis
from celery import Celery
from kombu.exceptions import OperationalError

from celery_impl.pending_jobs import BOUNDS, WORKER, messages, running


def pending_jobs(app: Celery) -> dict[str, str]:
    """Each call that the broker or a running worker holds, with the place; takes about a second.

    Raise OperationalError where the broker is away or is not Redis.
    """
    with app.connection_for_read() as connection:
        if connection.transport.driver_type != "redis":
            raise OperationalError(f"a broker of type {connection.transport.driver_type} is not looked into")
    try:
        return _pending_on_redis(app)
    except (redis.RedisError, OSError) as error:
        raise OperationalError(str(error)) from error


def _pending_on_redis(app: Celery) -> dict[str, str]:
    options = {**app.conf.broker_transport_options, **BOUNDS}
    with app.connection_for_read(transport_options=options) as connection:
        channel: Any = connection.default_channel
        client = redis.Redis(connection_pool=channel.pool)
        found = {str(message["headers"]["id"]): where for where, message in messages(app, channel, client)}
        return found | {str(task["id"]): WORKER for task in running(app, connection)}
