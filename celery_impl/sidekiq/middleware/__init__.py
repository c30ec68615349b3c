"""Middleware: code around the sending of every job and around its run, as Sidekiq and dramatiq have it.

What belongs here: the chains (`chain`), what a middleware is (`base`), where jobs enter the chains
(`entry_points`), and one file for each of Sidekiq's own features, client and server side together. Not: the
locks, counters and formats that they use. Floors: may use `jobs`, `redis`, `limits`, `lease` and `enqueue`.
"""

from celery_impl.sidekiq.middleware.base import (
    CallNext,
    Middleware,
    MiddlewareError,
    OutgoingJob,
    RunningJob,
)
from celery_impl.sidekiq.middleware.chain import Chain
from celery_impl.sidekiq.middleware.deadline import Deadline
from celery_impl.sidekiq.middleware.death import Death
from celery_impl.sidekiq.middleware.failures import Failures
from celery_impl.sidekiq.middleware.local_buffer import LocalBuffer
from celery_impl.sidekiq.middleware.rate_limit import RateLimit
from celery_impl.sidekiq.middleware.retry import Retry
from celery_impl.sidekiq.middleware.strict_arguments import StrictArguments
from celery_impl.sidekiq.middleware.unique import Unique

__all__ = [
    "CallNext",
    "Chain",
    "Deadline",
    "Death",
    "Failures",
    "LocalBuffer",
    "Middleware",
    "MiddlewareError",
    "OutgoingJob",
    "RateLimit",
    "Retry",
    "RunningJob",
    "StrictArguments",
    "Unique",
]
