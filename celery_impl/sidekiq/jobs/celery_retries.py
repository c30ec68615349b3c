"""What a task says of its retries in Celery's words, and what that means beside Sidekiq's schedule.

Sidekiq's schedule is for what Celery would give up at once, and for tasks that say nothing else:

| the task says                       | then                                                       |
|-------------------------------------|------------------------------------------------------------|
| `sidekiq_retry`, `sidekiq_schedule` | that many retries, whatever `max_retries` is               |
| `max_retries=n`                     | no more than n retries, whoever asks for them              |
| `self.retry()`, `autoretry_for`     | Celery's waits; after the last one the job is given up     |
| `autoretry_for`, and another error  | given up at once, `dont_autoretry_for` likewise            |
| `throws`                            | an expected error: failed at once, and not in the dead set |
| none of these                       | Sidekiq's schedule                                         |

A rule for errors (`jobs.error_rules`) comes first as long as retries are left.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from celery import Task

from celery_impl.sidekiq.jobs.error_rules import DISCARD, KILL

#: Set in the request of a run whose `self.retry()` had no retry left.
USED_UP: Final = "sidekiq_used_up"


def says(task: Any, option: str, *, but: type) -> bool:
    """Return whether the task, or a class of its own, sets the option; `but` is the class of the defaults."""
    if option in getattr(task, "__dict__", {}) and not isinstance(task, type):
        return True
    classes = (task if isinstance(task, type) else type(task)).__mro__
    return any(option in vars(cls) for cls in classes if cls is not but and cls is not Task)


def outcome(task: Any, request: Mapping[str, Any], error: BaseException) -> str | None:
    """Return "discard" or "kill" where the task's own words end the job, or None: the schedule decides."""
    expected = getattr(task, "throws", None)
    if expected and isinstance(error, expected):
        return DISCARD
    # Celery has retried what `autoretry_for` names: an error that comes here is another, or the last.
    return KILL if USED_UP in request or getattr(task, "autoretry_for", None) else None
