"""Django's settings of the clinic."""

from __future__ import annotations

from celery.schedules import crontab

SECRET_KEY = "for an example that serves nobody"  # noqa: S105 - it guards nothing
INSTALLED_APPS = ["visits"]
USE_TZ = True
TIME_ZONE = "Europe/Vienna"
EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"

CELERY_BROKER_URL = "redis://localhost:6379/0"
CELERY_RESULT_BACKEND = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_BEAT_SCHEDULE = {
    "remind-of-tomorrow": {
        "task": "visits.tasks.remind_all",
        "schedule": crontab(minute=0, hour=18),
        "args": ("tomorrow",),
    },
    "poll-laboratory": {"task": "visits.tasks.poll_laboratory", "schedule": crontab(minute="*/5")},
}
