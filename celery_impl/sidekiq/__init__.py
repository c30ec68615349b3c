"""What Sidekiq has and Celery lacks, on any Celery app over Redis, by one line: `Sidekiq(app)`.

1. Jobs are retried by Sidekiq's formula (`jobs.retry_schedule`), then put into the dead set (`redis.sets`).
2. Retries, countdowns and ETAs wait in Redis and not in a worker's memory (`redis.transport`). A thread in
   every worker queues them when they are due (`worker.maintenance`).
3. The same thread renews the lease on what its worker holds, so a job longer than the visibility timeout
   runs once, and the timeout can be short enough for a dead worker's jobs to be back soon.
4. A job that killed three processes goes to the dead set (`worker.request`), and so does a message that no
   task can run (`worker.consumer`, `jobs.malformed`).
5. An enqueue takes a second at most (`redis.deadline`), whatever the broker does, or is kept in the process
   (`enqueue.buffer`). Jobs may be unique (`limits.unique`), limited in rate (`limits.rate_limit`) and sent at
   a commit (`enqueue.on_commit`).
6. Each job passes a chain of middleware when it is sent and when it runs (`middleware`); users add their own.
7. Periodic work is sent once by any number of beats, on an absolute grid (`beat`).
8. People look at the sets and act on them by `api` and by `celery sidekiq` (`cli`).

Late acknowledgement, reject on worker lost and the time-outs are the app's to set; see
`celery_impl.profiles` for a set that loses nothing.
"""

from celery_impl.sidekiq.enqueue.buffer import BufferFullError
from celery_impl.sidekiq.enqueue.death import job_buried
from celery_impl.sidekiq.enqueue.task import SidekiqTask
from celery_impl.sidekiq.install import Sidekiq, SidekiqError
from celery_impl.sidekiq.jobs.entry_format import DeadJob
from celery_impl.sidekiq.jobs.error_rules import DISCARD, KILL, VerdictError
from celery_impl.sidekiq.jobs.retry_schedule import Schedule, ScheduleError
from celery_impl.sidekiq.jobs.strict_arguments import ArgumentsError
from celery_impl.sidekiq.limits.rate_limit import Limiter, OverLimitError
from celery_impl.sidekiq.limits.unique import Duplicate, NotUnique
from celery_impl.sidekiq.middleware.entry_points import TaskClassError
from celery_impl.sidekiq.redis.sets import Sets
from celery_impl.sidekiq.sending.bulk import BulkError, BulkJob

#: The name of DeadJob until 0.1; `from celery_impl.sidekiq import Grave` keeps working.
Grave = DeadJob

__all__ = [
    "DISCARD",
    "KILL",
    "ArgumentsError",
    "BufferFullError",
    "BulkError",
    "BulkJob",
    "DeadJob",
    "Duplicate",
    "Grave",
    "Limiter",
    "NotUnique",
    "OverLimitError",
    "Schedule",
    "ScheduleError",
    "Sets",
    "Sidekiq",
    "SidekiqError",
    "SidekiqTask",
    "TaskClassError",
    "VerdictError",
    "job_buried",
]
