"""A program that takes the run's own queue off the app's own broker, with its exchange."""

from __future__ import annotations

from bench.own_app.children import rebound_app


def main() -> None:
    """Declare the queue, so that this connection knows its bindings, then delete all of it."""
    adoption = rebound_app.from_environment()
    app = rebound_app.load_app(adoption)
    with app.connection_for_write() as connection, connection.channel() as channel:
        queue = app.amqp.queues[adoption.queue].bind(channel)
        queue.declare()
        queue.delete()
        queue.exchange.delete()


if __name__ == "__main__":
    main()
