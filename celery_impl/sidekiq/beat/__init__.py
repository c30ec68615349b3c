"""Periodic work: a beat that may be killed, and started twice.

    app.conf.beat_scheduler = "celery_impl.sidekiq.beat:LeasedScheduler"      # or: celery beat -S …
    app.conf.beat_schedule = {
        "sync": {"task": "sync", "schedule": 1.0},
        "report": {"task": "report", "schedule": crontab(minute=0), "options": {"misfire": "coalesce"}},
    }

1. Ticks stand on an absolute grid (`timetable`), by the broker's clock (`redis.server_clock`).
2. Of any number of beats one sends, by a lease in the broker (`lease`, `lease_client`); when it is killed,
   another goes on within the lease's time, on the same grid, and counts the ticks that went by.
3. Each tick is queued at most once, whatever sleeps or is killed (`sent_ticks`).
4. What becomes of ticks that come too soon or are got to too late: `policies`, `runs`.

An idle stock beat keeps time as well. It loses time with each slow send and each stall, and two of them send
all twice.
"""

from celery_impl.sidekiq.beat.entry_api import PeriodicEntries, PeriodicEntry
from celery_impl.sidekiq.beat.scheduler import LeasedScheduler

__all__ = ["LeasedScheduler", "PeriodicEntries", "PeriodicEntry"]
