"""`Sidekiq(app)` on RabbitMQ: what it keeps there, what it cannot, and how.

| of Sidekiq                        | on RabbitMQ                                                      |
|-----------------------------------|------------------------------------------------------------------|
| strict arguments, bounded enqueue | the same; `delay` returns when the broker has confirmed (`transport`) |
| retries, countdown, ETA           | native delayed delivery, in whole seconds (`sender`, `task`)     |
| a dead worker's jobs              | quorum queues deliver them again (`queues`)                      |
| poison pill                       | three deliveries, counted by the queue (`queues`, `consumer`)    |
| dead set                          | the queue `sidekiq.dead`, behind the same `DeadSet` (`dead_set`) |
| verdicts, handlers, unknown tasks | the same (`graves`, `consumer`)                                  |

All else needs Redis, and is refused where it is asked for (`refusals`).
"""

from celery_impl.sidekiq.jobs.broker_support import RabbitMQError, refuse, serves

__all__ = ["RabbitMQError", "refuse", "serves"]
