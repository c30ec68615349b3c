"""Looks at RabbitMQ when a worker starts, and declares the dead set; refuses what cannot serve by one line.

| found                                       | then                                                     |
|---------------------------------------------|----------------------------------------------------------|
| a RabbitMQ before 3.10                      | the worker does not start: no expiry in quorum queues    |
| a queue or exchange of another kind         | the worker does not start                                |
| a prefetch of more than 1, or early acks    | a warning: what waits in a dying worker counts as tried  |

And it watches the processes of a prefork pool, as `worker.maintenance` does on Redis.
"""

from __future__ import annotations

import logging
import os
from typing import Any, Final

import amqp
from celery import Celery, bootsteps
from celery.exceptions import WorkerShutdown
from kombu.exceptions import OperationalError
from kombu.utils.text import version_string_as_tuple

from celery_impl.sidekiq.jobs.broker_support import RabbitMQError, is_in_memory
from celery_impl.sidekiq.rabbitmq import dead_messages
from celery_impl.sidekiq.rabbitmq.sender import in_the_way
from celery_impl.sidekiq.redis.deadline import within
from celery_impl.sidekiq.worker.maintenance import REAP_S, _watch_again

#: The first version whose quorum queues know the expiry that delayed delivery needs.
OLDEST: Final = (3, 10)
#: Seconds that the look may hold up the start of a worker whose broker is silent.
WITHIN_S: Final = 5.0

logger = logging.getLogger(__name__)


def check_server(app: Celery) -> None:
    """Declare; raise RabbitMQError, or kombu's, py-amqp's or OS errors where the broker is away."""
    with within(WITHIN_S), app.connection_for_write() as connection:
        channel: Any = connection.default_channel
        check_version(channel.connection.server_properties)
        try:
            dead_messages.declare(channel)
            for queue in app.amqp.queues.consume_from.values():
                queue(connection.channel()).declare()
        except amqp.PreconditionFailed as error:
            raise RabbitMQError(in_the_way(error)) from error


def warn(worker: Any) -> None:
    """Log what makes a queue count deliveries of jobs that were never begun."""
    if worker.prefetch_multiplier != 1 or not worker.app.conf.task_acks_late:
        logger.warning(
            "jobs that wait in a worker count as tried when it dies, and three times is dead: "
            "set worker_prefetch_multiplier=1 and task_acks_late=True"
        )


def check_version(server: dict[str, Any]) -> None:
    """Raise RabbitMQError for a server that is too old; one that does not tell its version is accepted."""
    version = server.get("version")
    if version and version_string_as_tuple(version)[:2] < OLDEST:
        raise RabbitMQError(
            f"RabbitMQ {version} cannot delay jobs in quorum queues: upgrade it to 3.10 or later"
        )


class EarlyCheck(bootsteps.Step):
    """Looks before the worker has processes and queues, where the server can be reached."""

    def include_if(self, parent: Any) -> bool:
        """Not where the app runs in this process, without RabbitMQ."""
        return not is_in_memory(parent.app)

    def create(self, parent: Any) -> None:
        """Check once."""
        _check_once(parent)


class Check(bootsteps.StartStopStep):
    """Looks as soon as there is a connection, where EarlyCheck could not."""

    requires = ("celery.worker.consumer.connection:Connection",)

    def include_if(self, parent: Any) -> bool:
        """Not where the app runs in this process, without RabbitMQ."""
        return not is_in_memory(parent.app)

    def start(self, parent: Any) -> None:
        """Check where that has not been done."""
        _check_once(parent.controller)


class Watch(bootsteps.StartStopStep):
    """Has the death of a pool's process noticed within half a second."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, parent: Any, **options: Any) -> None:
        self._reaper: Any = None
        super().__init__(parent, **options)

    def include_if(self, parent: Any) -> bool:
        """Not where the app runs in this process, without RabbitMQ."""
        return not is_in_memory(parent.app)

    def start(self, parent: Any) -> None:
        """Begin to watch."""
        if processes := getattr(parent.pool, "_pool", None):  # prefork's; pinned by a test
            _watch_again(processes)
            self._reaper = parent.timer.call_repeatedly(REAP_S, processes.maintain_pool)

    def stop(self, _parent: Any) -> None:
        """End with the connection."""
        if self._reaper is not None:
            self._reaper.cancel()
            self._reaper = None

    shutdown = stop


def _check_once(worker: Any) -> None:
    if getattr(worker, "sidekiq_is_checked", False):
        return
    try:
        check_server(worker.app)
    except RabbitMQError as error:
        logger.critical("%s", error)
        raise WorkerShutdown(os.EX_CONFIG) from error
    except (OperationalError, amqp.AMQPError, OSError):
        return
    warn(worker)
    worker.sidekiq_is_checked = True
