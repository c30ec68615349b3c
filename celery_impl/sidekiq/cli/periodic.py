"""The command about periodic work: periodic."""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

import click
from celery import Celery

from celery_impl.sidekiq.beat.entry_api import PeriodicEntries
from celery_impl.sidekiq.cli.common import as_json, command, distance, show, table

HEADINGS: Final = ("ENTRY", "SCHEDULE", "LAST RUN", "NEXT", "RUNS", "MISSED", "OVERLAPS", "REFUSED")


@click.command()
@as_json
@command
def periodic(app: Celery, *, as_json: bool) -> None:
    """Periodic work: the beat that sends, and what became of the ticks of each entry."""
    entries = PeriodicEntries(app)
    holder, known = entries.holder(), list(entries)
    if as_json:
        show({"holder": asdict(holder) if holder else None, "entries": [asdict(entry) for entry in known]})
        return
    click.echo(
        f"beat {holder.pid} on {holder.host} sends, since {distance(holder.since)}"
        if holder
        else "no beat sends: start `celery beat` with LeasedScheduler"
    )
    times = ((distance(entry.last_run_at), distance(entry.next_at)) for entry in known)
    counts = ((entry.runs, entry.misfires, entry.overlaps, entry.refusals) for entry in known)
    rows = [
        (entry.name, entry.schedule, *when, *count)
        for entry, when, count in zip(known, times, counts, strict=True)
    ]
    table(HEADINGS, rows)


COMMANDS: Final = (periodic,)
