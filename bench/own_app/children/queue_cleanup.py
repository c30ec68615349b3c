"""A program that deletes the run's queue and its exchange on the app's own broker."""

from __future__ import annotations

from bench.own_app.children import rebound_app


def main() -> None:
    """Declare the queue, so that this connection knows its bindings, then delete queue and exchange."""
    spec = rebound_app.from_environment()
    app = rebound_app.load_app(spec)
    with app.connection_for_write() as connection, connection.channel() as channel:
        queue = app.amqp.queues[spec.queue].bind(channel)
        queue.declare()
        queue.delete()
        queue.exchange.delete()
