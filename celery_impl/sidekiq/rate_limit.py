"""The public path of `celery_impl.sidekiq.limits.rate_limit`, as docs/sidekiq.md has it since 0.1."""

from celery_impl.sidekiq.limits.rate_limit import Limiter, OverLimitError

__all__ = ["Limiter", "OverLimitError"]
