"""What Sidekiq has and Celery lacks, on any Celery app over Redis, by one line: `Sidekiq(app)`.

1. Tasks are retried by Sidekiq's formula (`retries`), then put into the dead set (`sets`).
2. Retries, countdowns and ETAs wait in Redis and not in a worker's memory (`transport`), and are
   queued again when due by a thread in every worker (`keeper`).
3. The same thread renews the lease on what its worker holds, so a job longer than the visibility
   timeout runs once, and the timeout can be short enough for a dead worker's jobs to be back soon.
4. A job that killed three processes goes to the dead set (`request`), and so does a message that no task
   can run (`consumer`, `malformed`).
5. An enqueue takes a second at most (`deadline`), whatever the broker does, or is kept here (`buffer`); jobs
   may be unique (`unique`), limited in rate (`rate_limit`) and sent at a commit (`on_commit`).
6. Periodic work is sent once by any number of beats, on an absolute grid (`beat`).
7. People look at the sets and act on them by `api` and by `celery sidekiq` (`cli`).

Late acknowledgement, reject on worker lost and the time-outs are the app's to set; see
`celery_impl.profiles` for a set that loses nothing.
"""

from celery_impl.sidekiq.enqueue.buffer import BufferFullError
from celery_impl.sidekiq.enqueue.death import job_buried
from celery_impl.sidekiq.enqueue.task import SidekiqTask
from celery_impl.sidekiq.install import Sidekiq, SidekiqError
from celery_impl.sidekiq.jobs.entry_format import Grave
from celery_impl.sidekiq.jobs.error_rules import DISCARD, KILL, VerdictError
from celery_impl.sidekiq.jobs.retry_schedule import Schedule, ScheduleError
from celery_impl.sidekiq.jobs.strict_arguments import ArgumentsError
from celery_impl.sidekiq.limits.rate_limit import Limiter, OverLimitError
from celery_impl.sidekiq.limits.unique import Duplicate, NotUnique
from celery_impl.sidekiq.redis.sets import Sets

__all__ = [
    "DISCARD",
    "KILL",
    "ArgumentsError",
    "BufferFullError",
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
    "VerdictError",
    "job_buried",
]
