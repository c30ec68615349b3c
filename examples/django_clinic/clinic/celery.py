"""The Celery app, set up from Django's settings: `celery -A clinic worker`."""

from __future__ import annotations

from celery import Celery

app = Celery("clinic")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
