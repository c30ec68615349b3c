"""What `Sidekiq(app)` sets on an app whose broker is RabbitMQ."""

from __future__ import annotations

import ssl
from typing import Any, Final

from celery import Celery

from celery_impl.sidekiq.jobs.broker_support import RabbitMQError, set_dead_set
from celery_impl.sidekiq.rabbitmq import transport
from celery_impl.sidekiq.rabbitmq.dead_set import RabbitDeadSet

#: What `worker_consumer` names where the app has none of its own, and what it becomes.
CONSUMERS: Final = ("celery.worker.consumer:Consumer", "celery_impl.sidekiq.rabbitmq.consumer:RabbitConsumer")
#: Settings without which nothing is delayed, confirmed or delivered again, and a worker does not come back.
SETTINGS: Final = {
    "broker_transport": transport.ALIAS,
    "broker_native_delayed_delivery_queue_type": "quorum",
    "task_default_queue_type": "quorum",
    "task_default_exchange_type": "topic",
    "task_create_missing_queue_type": "quorum",
    "task_create_missing_queue_exchange_type": "topic",
    "worker_detect_quorum_queues": True,
    # NOT_FOUND is what a queue without a leader answers after a restart; it would end the worker.
    "broker_channel_error_retry": True,
}


def use(app: Celery) -> None:
    """Set up an app; raise RabbitMQError for settings that cannot be kept."""
    conf = app.conf
    if conf.task_queue_max_priority is not None:
        raise RabbitMQError(
            "task_queue_max_priority is set, and quorum queues have none: use a queue for each"
        )
    if "amqps://" in str(conf.broker_url) and not conf.broker_use_ssl:
        conf.broker_use_ssl = {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": None}
    conf.update(**SETTINGS, broker_url=_plain(conf.broker_url))
    conf.broker_transport_options = {**(conf.broker_transport_options or {}), "confirm_publish": True}
    if conf.worker_consumer == CONSUMERS[0]:
        conf.worker_consumer = CONSUMERS[1]
    set_dead_set(app, RabbitDeadSet)
    transport.register()


def _plain(url: Any) -> Any:
    """Return the URL or URLs with the one scheme that leaves the transport to the setting for it."""
    if not isinstance(url, str):
        return [_plain(one) for one in url]
    return url.replace("pyamqp://", "amqp://").replace("amqps://", "amqp://")
