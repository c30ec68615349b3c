"""`celery -A app sidekiq …`: look at the jobs of an app, and act on them.

Celery finds `sidekiq` by the entry point group `celery.commands`. Exit codes: 0; 1 where a job or a queue
was not found, or a question was answered with no; 2 for a wrong command line; 69 where the broker is away;
78 for an app without `Sidekiq(app)`.
"""

from celery_impl.sidekiq.cli.main import sidekiq

__all__ = ["sidekiq"]
