"""The queues of an app on RabbitMQ: quorum queues that count deliveries and bury what has too many.

1. A worker that dies, or loses its connection, has its jobs delivered again at once, near the queue's head.
2. The queue counts that (`x-delivery-count`). What comes back for the third time goes to the dead set, with
   the reason `delivery_limit`: it has taken three workers with it, as far as the queue can tell.
3. It is dead-lettered at least once: it leaves its queue when the dead set has confirmed it.

An app's own arguments of a queue count, but for its type. What cannot be a quorum queue is refused.
"""

from __future__ import annotations

from typing import Any, Final

from celery.app.amqp import Queues
from kombu import Queue
from kombu.common import Broadcast

from celery_impl.sidekiq.jobs.broker_support import RabbitMQError
from celery_impl.sidekiq.worker.request import POISON_DEATHS

#: The dead set's queue, and the exchange that leads to it.
DEAD: Final = "sidekiq.dead"
#: What each queue of the app is declared with, unless the app says otherwise.
ARGUMENTS: Final = {
    "x-queue-type": "quorum",
    "x-delivery-limit": POISON_DEATHS - 1,  # deliveries after the first
    "x-dead-letter-exchange": DEAD,
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",  # the strategy needs it; without a length limit it never happens
}


class QuorumQueues(Queues):
    """Celery's mapping of queues, but each is a quorum queue with our arguments."""

    def __setitem__(self, name: str, queue: Queue) -> None:
        """Add a queue; raise RabbitMQError for one that cannot be a quorum queue."""
        super().__setitem__(name, queue)
        if not isinstance(queue, Broadcast):
            queue.queue_arguments = _arguments(queue)


def _arguments(queue: Queue) -> dict[str, Any]:
    arguments = {**ARGUMENTS, **(queue.queue_arguments or {})}
    for wrong, advice in (
        (
            arguments["x-queue-type"] != "quorum",
            "leave x-queue-type out: Sidekiq(app) makes it a quorum queue",
        ),
        (queue.exclusive or queue.auto_delete, "leave exclusive and auto_delete out: a quorum queue stays"),
        (not queue.durable, "leave durable=False out: a quorum queue is durable"),
        (
            getattr(queue, "max_priority", None) or "x-max-priority" in arguments,
            "leave priorities out: use a queue for each",
        ),
        (queue.exchange.type == "direct", "make its exchange a topic one: only that takes delayed jobs"),
    ):
        if wrong:
            raise RabbitMQError(f"queue {queue.name!r} cannot be used on RabbitMQ: {advice}")
    return arguments
