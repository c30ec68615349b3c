"""`pending_jobs` on RabbitMQ: a queue cannot be looked into, so its messages are fetched and put back."""

from __future__ import annotations

import json
from typing import Any, Final

import amqp
from celery import Celery
from kombu import Connection

from celery_impl import names

#: Where dead jobs are (`sidekiq.rabbitmq.dead_set`), and what `pending_jobs` calls each place.
DEAD: Final = "sidekiq.dead"


def waiting(app: Celery, connection: Connection) -> dict[str, str]:
    """Return every job of the ledger that waits in a queue or in the dead set, with where.

    What a worker has fetched is not seen; a message is back in its queue when the channel has closed.
    """
    found: dict[str, str] = {}
    for queue in (*app.amqp.queues, DEAD):
        channel: Any = connection.channel()
        try:
            while message := channel.basic_get(queue, no_ack=False):
                job = names.job_of(message.headers["task"], json.loads(message.body)[0])
                if job is not None:
                    found[job.name] = "dead set" if queue == DEAD else "queue"
            channel.close()
        except amqp.NotFound:  # nothing was ever put there; the channel is closed by that
            continue
    return found
