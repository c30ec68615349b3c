"""Look at the jobs of an app with `Sidekiq(app)`, and act on them: `Queue`, three sets, `Workers`, `Stats`.

    dead = DeadSet(app)
    for job in dead:
        if job.task == "mail.send":
            dead.retry(job)

Every look is one at that moment. Acting on a job moves it in one step: whoever comes second moves nothing,
so that a count of 0 says that the job was gone already. Where the broker is away, redis-py's errors or
kombu's OperationalError are raised.
"""

from celery_impl.sidekiq.api.due import due_jobs, promote_due_jobs
from celery_impl.sidekiq.api.job import Job
from celery_impl.sidekiq.api.queues import Queue
from celery_impl.sidekiq.api.sets import DeadSet, JobSet, RetrySet, ScheduledSet
from celery_impl.sidekiq.api.stats import Stats, stats_json
from celery_impl.sidekiq.api.unacked import adopt_unacked, unacked_jobs
from celery_impl.sidekiq.api.workers import Workers
from celery_impl.sidekiq.jobs.entry_format import UnreadableError
from celery_impl.sidekiq.redis.store import NoSidekiqError

__all__ = [
    "DeadSet",
    "Job",
    "JobSet",
    "NoSidekiqError",
    "Queue",
    "RetrySet",
    "ScheduledSet",
    "Stats",
    "UnreadableError",
    "Workers",
    "adopt_unacked",
    "due_jobs",
    "promote_due_jobs",
    "stats_json",
    "unacked_jobs",
]
