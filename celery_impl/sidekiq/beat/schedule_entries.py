"""The entries of `beat_schedule` as the beat needs them: checked, with their moments and policies."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from celery.exceptions import ImproperlyConfigured
from celery.schedules import crontab

from celery_impl.sidekiq.beat.policies import OPTIONS, Policy, PolicyError
from celery_impl.sidekiq.beat.timetable import Grid, Timetable, TimetableError, timetable


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One entry: what is run when, and by which policies.

    `schedule` is its schedule in words, the same in every beat. `options` are `apply_async`'s alone.
    """

    name: str
    task: str
    schedule: str
    timetable: Timetable
    policy: Policy
    options: Mapping[str, Any]


def item_of(entry: Any, *, cron_deadline_s: float | None = None) -> Item:
    """The item of a `ScheduleEntry`; `cron_deadline_s` is the grace of a crontab that says none.

    Raise ImproperlyConfigured, which names the entry and the option, where one makes no sense.
    """
    options = entry.options or {}
    grace_s = cron_deadline_s if isinstance(entry.schedule, crontab) else None
    try:
        policy = Policy.of(options, grace_s=math.inf if grace_s is None else grace_s)
        times = timetable(entry.schedule)
        times.after(time.time())
    except (PolicyError, TimetableError) as error:
        raise ImproperlyConfigured(f"beat_schedule[{entry.name!r}]: {error}") from error
    return Item(
        name=entry.name,
        task=entry.task,
        schedule=_in_words(times, entry.schedule),
        timetable=times,
        policy=policy,
        options={name: value for name, value in options.items() if name not in OPTIONS},
    )


def _in_words(times: object, of: object) -> str:
    if isinstance(times, Grid):
        return f"every {times.interval_s:.15g} s"
    return re.sub(" at 0x[0-9a-f]+", "", repr(of)).strip("<>")  # an address differs from beat to beat
