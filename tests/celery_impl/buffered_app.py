"""A Celery app with a local buffer and little else: `Sidekiq(app)` on Celery's own settings."""

from __future__ import annotations

import os

from celery import Celery

from celery_impl.sidekiq import Sidekiq

app = Celery("buffered", broker=os.environ["REDIS_URL"])
app.conf.task_ignore_result = True
Sidekiq(app, buffer=int(os.environ["BUFFER"]) if "BUFFER" in os.environ else None)


@app.task(shared=False)
def note(job: str, password: str = "", **_: object) -> str:
    return job + password
