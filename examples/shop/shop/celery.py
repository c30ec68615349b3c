"""The Celery app: `celery -A shop.celery worker`."""

from __future__ import annotations

import os

from celery import Celery

app = Celery(
    "shop",
    broker=os.environ.get("SHOP_BROKER", "redis://localhost:6379/0"),
    backend=os.environ.get("SHOP_RESULTS", "redis://localhost:6379/1"),
    include=["shop.tasks"],
)
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    task_routes={"shop.tasks.send_receipt": {"queue": "mail"}},
    timezone="Europe/Vienna",
    beat_schedule={
        "sweep-carts": {"task": "shop.tasks.sweep_carts", "schedule": 1.0},
        "nightly-report": {"task": "shop.tasks.report", "schedule": 86_400.0, "args": ("yesterday",)},
    },
)
