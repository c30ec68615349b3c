"""Celery's way of sending on RabbitMQ: to a queue that exists, or through delay queues that exist.

1. A message that no queue takes is an error (`mandatory`).
2. Celery leaves the exchanges and queues of delayed delivery to its workers: what is sent with a delay before
   the first one started would be refused, and what is sent to a queue that none of them knows would be late
   by minutes. Here the sender declares what is missing, once in each process. On a broker that has none of
   the 28 delay queues that takes most of a second, and may need a second try: what is there stays.
3. `expires` stays a matter of Celery's workers. As the broker's own expiry, which Celery asks for as well, it
   would end a delay early and bury the job as dead.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import amqp
from celery.app.amqp import AMQP
from kombu import Queue
from kombu.exceptions import OperationalError
from kombu.transport.native_delayed_delivery import (
    CELERY_DELAYED_DELIVERY_EXCHANGE,
    MAX_NUMBER_OF_BITS_TO_USE,
    bind_queue_to_native_delayed_delivery_exchange,
    declare_native_delayed_delivery_exchanges_and_queues,
    level_name,
)

from celery_impl.sidekiq.jobs.broker_support import RabbitMQError
from celery_impl.sidekiq.rabbitmq.queues import QuorumQueues
from celery_impl.sidekiq.redis.deadline import left_s

#: The exchange that takes every job with a delay.
FIRST_LEVEL = level_name(MAX_NUMBER_OF_BITS_TO_USE - 1)
#: Characters of the delay before the routing key proper.
DELAY_CHARACTERS = 2 * MAX_NUMBER_OF_BITS_TO_USE


class RabbitAMQP(AMQP):
    """Celery's AMQP with our queues and our way to send."""

    queues_cls = QuorumQueues

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self._ready: set[tuple[int, str]] = set()
        self._preparing = threading.Lock()

    @cached_property
    def send_task_message(self) -> Any:
        """Send a message; raise OperationalError, or RabbitMQError where a queue stands in the way."""
        send = super().send_task_message

        def checked(producer: Any, name: str, message: Any, *, expiration: Any = None, **options: Any) -> Any:
            del expiration
            try:
                if getattr(options.get("exchange"), "name", None) == FIRST_LEVEL:
                    self._prepare(producer.connection, options["routing_key"][DELAY_CHARACTERS:])
                return send(producer, name, message, **{"mandatory": True, **options})
            except Exception as error:
                self._ready.clear()  # somebody may have deleted what was declared
                if isinstance(error, amqp.PreconditionFailed):
                    raise RabbitMQError(in_the_way(error)) from error
                if isinstance(error, amqp.ChannelError):
                    raise OperationalError(str(error)) from error
                raise

        return checked

    def _prepare(self, connection: Any, routing_key: str) -> None:
        """See that a job with this routing key comes out of the delay queues at its queue."""
        wanted = (os.getpid(), routing_key)
        if wanted in self._ready:
            return
        left = left_s()
        if not self._preparing.acquire(timeout=-1 if left is None else left):
            raise OperationalError("another thread still declares the delay queues: send again in a moment")
        try:
            if not _stands(connection):
                declare_native_delayed_delivery_exchanges_and_queues(connection, "quorum")
            for queue in self._routed(routing_key):
                queue(connection.default_channel).declare()
                bind_queue_to_native_delayed_delivery_exchange(connection, queue)
            self._ready.add(wanted)
        finally:
            self._preparing.release()

    def _routed(self, routing_key: str) -> Iterator[Queue]:
        return (queue for queue in tuple(self.queues.values()) if queue.routing_key == routing_key)


def in_the_way(error: amqp.PreconditionFailed) -> str:
    """Return what to do about a queue or exchange that somebody declared otherwise."""
    return (
        f"a queue or exchange of another kind has this name on the broker ({error.reply_text}): give the "
        "app a new one, as by task_default_queue, while an old worker drains the old; or drain and delete it"
    )


def _stands(connection: Any) -> bool:
    """Return whether delayed delivery is declared, as far as its last part."""
    _ = connection.default_channel  # connects, with kombu's errors; `channel` alone has others
    channel = connection.channel()
    try:
        channel.exchange_declare(CELERY_DELAYED_DELIVERY_EXCHANGE, "topic", passive=True)
    except amqp.NotFound:
        return False
    channel.close()
    return True
