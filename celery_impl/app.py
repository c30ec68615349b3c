"""The Celery app of the three scenarios, set up by the profile that the environment names.

`profiles` says which variables count and what each profile sets. Importing this module does
not touch the broker; a bad variable raises ProfileError.
"""

from __future__ import annotations

import os
from typing import Any, Final

from celery import Celery

from celery_impl import failures, profiles
from celery_impl.sidekiq import Sidekiq

profile: Final = profiles.select_profile(os.environ)


def make(profile: profiles.Profile, env: os._Environ[str] | dict[str, str]) -> Celery:
    """Return a Celery app of that profile, with no task of its own."""
    made = Celery("queue-or-task")
    made.conf.update(profiles.celery_settings(profile, env))
    if profile.sidekiq:
        Sidekiq(made, buffer=profiles.buffer_size(env))
    return made


def _beat_schedule(expires_s: float | None) -> dict[str, dict[str, Any]]:
    entry = {"task": "account_sync.sync_all", "schedule": profiles.sync_interval_s(os.environ)}
    return {"sync every owner": {**entry, "options": {"expires": expires_s}} if expires_s else entry}


app: Final = make(profile, os.environ)
app.conf.beat_schedule = _beat_schedule(profile.sync_expires_s)
app.conf.include = ["celery_impl.account_setup", "celery_impl.account_sync", "celery_impl.welcome_email"]
failures.record_in_ledger()
