"""A Celery app with periodic entries that the tests choose, for real beats and workers.

BEAT_ENTRIES is JSON: name to interval in seconds and options. The task of each is `tick`, which writes the
moment of its tick, runs for BEAT_RUN_S and writes it again.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

from celery_impl import profiles
from celery_impl.app import make

app = make(profiles.select_profile(os.environ), os.environ)
app.conf.task_ignore_result = True
app.conf.beat_scheduler = "celery_impl.sidekiq.beat:LeasedScheduler"
app.conf.sidekiq_beat_lease_s = float(os.environ.get("BEAT_LEASE_S", "1.5"))
app.conf.beat_schedule = {
    name: {"task": "tick", "schedule": interval, "args": (name,), "options": options}
    for name, (interval, options) in json.loads(os.environ.get("BEAT_ENTRIES", "{}")).items()
}


def write(event: str, job: str) -> None:
    line = f"{event} {job} {os.getpid()} {time.monotonic()}\n"
    with open(os.environ["SAMPLE_LOG"], "a", encoding="utf-8", buffering=1) as log:  # noqa: PTH123 - O_APPEND
        log.write(line)


@app.task(name="tick", bind=True, shared=False, sidekiq_retry=False)
def tick(self: Any, entry: str) -> None:
    due = (self.request.headers or {}).get("periodic", {}).get("due")
    write("start", entry)
    write("due", f"{entry}@{due}")
    time.sleep(float(os.environ.get("BEAT_RUN_S", "0")))
    write("done", entry)
