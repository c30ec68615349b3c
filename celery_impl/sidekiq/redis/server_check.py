"""Checks the broker when a worker starts: warns of one that may lose jobs, refuses one that cannot serve.

| found                          | then                                                              |
|--------------------------------|-------------------------------------------------------------------|
| no append-only file, no save   | a warning: what is queued is lost when the server stops            |
| snapshots only                 | a line at level info: a crash loses what came since the last one   |
| a maxmemory-policy that evicts | a warning: the server deletes queues when its memory is full       |
| Redis Cluster, Redis before 6.2 | the worker does not start                                         |
| a right that the user lacks    | an error: which, and where all are listed                          |

A server that does not tell (CONFIG is often forbidden) is not warned of. Where the server cannot be reached
yet, the look follows with the first connection.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from typing import Any, Final

import redis
from celery import Celery, bootsteps
from celery.exceptions import WorkerShutdown
from kombu.exceptions import OperationalError

from celery_impl.sidekiq.jobs.broker_support import is_in_memory

logger = logging.getLogger(__name__)

#: The one maxmemory-policy that deletes nothing.
KEEPS_ALL: Final = "noeviction"
#: The first version of Redis that has all commands: RPOP takes a count.
OLDEST: Final = "6.2"
#: Transport options of the look, so that a silent server does not hold the start up.
BOUNDS: Final = {"socket_timeout": 2.0, "socket_connect_timeout": 1.0, "max_retries": 0}
#: How the look fails where the server is away.
AWAY: Final = (OperationalError, redis.RedisError, OSError)


class UnfitServerError(RuntimeError):
    """The broker cannot do what Sidekiq needs; the text says why and what to do."""


def findings(info: Mapping[str, Any], save: str | None) -> Iterator[tuple[int, str]]:
    """What is worth a line, with its level, in INFO and in the setting `save` (None: not told).

    Raise UnfitServerError for a cluster, and for a server that is too old.
    """
    if info.get("redis_mode") == "cluster" or info.get("cluster_enabled") == 1:
        raise UnfitServerError(
            "this broker is a node of a Redis Cluster, where no script can move a job: use one Redis server"
        )
    version = str(info.get("redis_version", OLDEST))
    if _number(version) < _number(OLDEST):
        raise UnfitServerError(f"this broker is Redis {version}: Sidekiq needs {OLDEST} or newer")
    if info.get("aof_enabled") == 0 and save == "":
        yield (
            logging.WARNING,
            (
                "this broker keeps nothing: its jobs are lost when it stops. Set `appendonly yes` in its "
                "configuration, now both appendonly and save are off"
            ),
        )
    elif info.get("aof_enabled") == 0 and save:
        yield logging.INFO, "this broker keeps snapshots only: `appendonly yes` would keep every job"
    policy = info.get("maxmemory_policy", KEEPS_ALL)
    if policy != KEEPS_ALL:
        yield (
            logging.WARNING,
            (
                f"this broker deletes jobs when its memory is full: set `maxmemory-policy {KEEPS_ALL}`, "
                f"now it is {policy}"
            ),
        )


def check_server(app: Celery) -> None:
    """Log the findings; raise UnfitServerError, or one of AWAY if the server cannot be reached."""
    options = {**app.conf.broker_transport_options, **BOUNDS}
    with app.connection_for_write(transport_options=options) as connection:
        channel: Any = connection.default_channel
        if not hasattr(channel, "sets"):
            raise UnfitServerError(
                "broker_url or broker_transport was changed after Sidekiq(app): set them before, or neither "
                "sets nor leases serve this app"
            )
        client = redis.Redis(connection_pool=channel.pool)
        for level, text in findings(_info(client), _save(client)):
            logger.log(level, text)
        for text in channel.refusals(app.amqp.queues.consume_from):
            logger.error(text)


class EarlyCheck(bootsteps.Step):
    """Looks before the worker has processes and queues, where the server can be reached."""

    def include_if(self, parent: Any) -> bool:
        """Not where the broker is in memory."""
        return not is_in_memory(parent.app)

    def create(self, parent: Any) -> None:
        """Check once."""
        _check_once(parent)


class ServerCheck(bootsteps.StartStopStep):
    """Looks as soon as there is a connection, where EarlyCheck could not."""

    requires = ("celery.worker.consumer.connection:Connection",)

    def include_if(self, parent: Any) -> bool:
        """Not where the broker is in memory."""
        return not is_in_memory(parent.app)

    def start(self, parent: Any) -> None:
        """Check where that has not been done."""
        _check_once(parent.controller)


def _check_once(worker: Any) -> None:
    if getattr(worker, "sidekiq_is_checked", False):
        return
    try:
        check_server(worker.app)
    except UnfitServerError as error:
        logger.critical("%s", error)
        raise WorkerShutdown(os.EX_CONFIG) from error
    except AWAY:
        return
    worker.sidekiq_is_checked = True


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())


def _info(client: redis.Redis) -> Mapping[str, Any]:
    try:
        found: Any = client.info("everything")
    except redis.ResponseError:
        return {}
    known: Mapping[str, Any] = found
    return known


def _save(client: redis.Redis) -> str | None:
    try:
        settings: Any = client.config_get("save")
    except redis.ResponseError:
        return None
    save: str | None = settings.get("save")
    return save
