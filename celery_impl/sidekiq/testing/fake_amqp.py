"""An AMQP for Celery whose messages are handed to a function and not to a broker; `testing` uses it.

It stands where Celery's own does (`app.amqp`): `delay`, `send_task`, canvas, retries and beat end there, with
their routes, serializers and publish signals. Nothing connects.
"""

from __future__ import annotations

from celery import Celery
from celery.app.amqp import AMQP

from celery_impl.sidekiq.memory.capturing_producer import CapturingProducer


def amqp(app: Celery, producer: CapturingProducer) -> AMQP:
    """Return an AMQP for the app that sends through `producer`, with the queues of the app's own."""
    own = app.amqp
    kept = {
        "producer_pool": producer,
        "Producer": lambda *_, **__: producer,
        "queues": own.queues,
        "__module__": __name__,
    }
    made: AMQP = type("Unsent", (type(own),), kept)(app)
    return made
