"""From `delay` to the broker in memory: Celery's AMQP, the fast way, and what may go by it."""
