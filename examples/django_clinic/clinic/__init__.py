"""A clinic's site, whose reminders go out in the background. Celery's app is loaded with Django."""

from __future__ import annotations

from clinic.celery import app

__all__ = ["app"]
