"""Many periodic owners on Celery: `celery -A bench.app.owner_fleet.celery_app worker` and `beat`.

The app of the build, in its profile, with another schedule. As in the build a hardened fan-out is one
pipelined write, and a task that has not begun within the interval expires.
"""

from __future__ import annotations

import os
from typing import Any

from bench.plan.owner_fleet import OWNERS_VARIABLE, OwnerFleet, owner
from celery_impl.app import app, profile
from celery_impl.enqueue import enqueue
from scenarios import jobs, ledger

FAN_OUT, NOTE = "many.fan_out", "many.note"

fleet = OwnerFleet.from_json(os.environ[OWNERS_VARIABLE])


def _options() -> dict[str, Any]:
    return {"expires": fleet.interval_s} if profile.sync_expires_s else {}


def _schedule() -> dict[str, dict[str, Any]]:
    entry = {"schedule": fleet.interval_s, "options": _options()}
    if fleet.policy == "beat fan-out":
        return {"every owner": {**entry, "task": FAN_OUT}}
    return {owner(n): {**entry, "task": NOTE, "args": (n,)} for n in range(fleet.owners)}


app.conf.beat_schedule = _schedule()


@app.task(name=FAN_OUT, shared=False, ignore_result=True, sidekiq_retry=False)
def fan_out() -> None:
    """Queue one run for each owner."""
    options = _options()
    enqueue(*(note.s(number).set(**options) for number in range(fleet.owners)))


@app.task(name=NOTE, shared=False, ignore_result=True, sidekiq_retry=False)
def note(number: int) -> None:
    """One run of one owner."""
    if number % fleet.every == 0:
        with ledger.attempt(jobs.ACCOUNT_SYNC, jobs.sync(owner(number))):
            pass
