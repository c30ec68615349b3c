"""`Sidekiq(app)` on RabbitMQ: what it keeps there, what it cannot, and how.

| of Sidekiq                        | on RabbitMQ                                                      |
|-----------------------------------|------------------------------------------------------------------|
| strict arguments, bounded enqueue | the same; `delay` returns when the broker has confirmed (`transport`) |
| retries, countdown, ETA           | native delayed delivery, in whole seconds (`delayed_delivery`) |
| a dead worker's jobs              | quorum queues deliver them again (`queues`)                      |
| poison pill                       | three deliveries, counted by the queue (`queues`, `consumer`)    |
| dead set                          | the queue `sidekiq.dead`, behind the same `DeadSet` (`dead_set`) |
| error rules, death handlers, unknown tasks | the same (`dead_messages`, `consumer`)                  |

All else needs Redis, and is refused where it is used (`jobs.broker_support`).
"""

from celery_impl.sidekiq.jobs.broker_support import RabbitMQError, refuse, serves

__all__ = ["RabbitMQError", "refuse", "serves"]
