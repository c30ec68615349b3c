"""An app on `redis://` with the lease by a transport option."""

from __future__ import annotations

import os
import time

from celery import Celery

from celery_impl.sidekiq import Sidekiq

app = Celery("lease option", broker=os.environ["REDIS_URL"])
app.conf.update(task_acks_late=True, broker_transport_options={"lease": True}, worker_prefetch_multiplier=1)
Sidekiq(app)


@app.task(name="work", shared=False, ignore_result=True)
def work(job: str) -> None:
    line = f"done {job} {os.getpid()} {time.monotonic()}\n"
    with open(os.environ["SAMPLE_LOG"], "a", encoding="utf-8", buffering=1) as log:  # noqa: PTH123 - O_APPEND
        log.write(line)
