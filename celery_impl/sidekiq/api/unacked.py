"""Jobs that workers of `redis://` took and never acknowledged, before an app came to the lease transport."""

from __future__ import annotations

from typing import Any

from celery import Celery

from celery_impl.sidekiq.lease import unacked
from celery_impl.sidekiq.lease.channel import Channel
from celery_impl.sidekiq.redis.store import NoSidekiqError, Store


def unacked_jobs(app: Celery) -> int:
    """Return how many such jobs there are; raise as `adopt_unacked`."""
    return unacked.left(_channel(app))


def adopt_unacked(app: Celery) -> int:
    """Put all such jobs in front of their queues and return how many; workers of `redis://` must have ended.

    A worker does it by itself once their visibility timeout is over. Raise the broker's errors, and
    NoSidekiqError where the app has not the lease transport: there they are its own workers'.
    """
    return unacked.adopt(_channel(app), at_once=True)


def _channel(app: Celery) -> Any:
    channel = Store.of(app, "adopt_unacked").channel
    if not isinstance(channel, Channel):
        raise NoSidekiqError("this app has no lease: what is unacknowledged is in its workers' hands")
    return channel
