"""From `delay` to the broker in memory: Celery's AMQP, the short way, and the values that may take it.

Belongs here: publishing. Does not belong here: delivery, see `broker`. May import `broker` and
`celery_internals`.
"""
