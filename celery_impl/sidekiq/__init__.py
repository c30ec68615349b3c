"""What Sidekiq has and Celery lacks, on any Celery app over Redis, by one line: `Sidekiq(app)`.

1. Tasks are retried by Sidekiq's formula (`retries`), then put into the dead set (`sets`).
2. Retries, countdowns and ETAs wait in Redis and not in a worker's memory (`transport`), and are
   queued again when due by a thread in every worker (`keeper`).
3. The same thread renews the lease on what its worker holds, so a job longer than the visibility
   timeout runs once, and the timeout can be short enough for a dead worker's jobs to be back soon.
4. A job that killed three processes goes to the dead set (`request`).

Late acknowledgement, reject on worker lost and the time-outs are the app's to set; see
`celery_impl.profiles` for a set that loses nothing.
"""

from celery_impl.sidekiq.install import Sidekiq, SidekiqError
from celery_impl.sidekiq.retries import Schedule, ScheduleError
from celery_impl.sidekiq.sets import Sets
from celery_impl.sidekiq.task import SidekiqTask, job_buried

__all__ = ["Schedule", "ScheduleError", "Sets", "Sidekiq", "SidekiqError", "SidekiqTask", "job_buried"]
