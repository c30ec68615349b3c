"""Makes the message of a run without sending it, and takes back what making it took, where it is not sent."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from celery import Celery
from celery.beat import SchedulingError
from kombu.exceptions import OperationalError

from celery_impl.sidekiq.beat.runs import HEADER
from celery_impl.sidekiq.beat.schedule_entries import Item
from celery_impl.sidekiq.beat.sent_ticks import Outcome, TickLedger
from celery_impl.sidekiq.limits import unique

logger = logging.getLogger(__name__)

#: The id of a run and its messages, each with the key of its queue; no messages where it cannot be sent.
Made = tuple[str, list[tuple[str, str]]]


def make(
    entry: Any, item: Item, *, due: float, left_s: float, channel: Any, apply_async: Callable[[Any], Any]
) -> Made:
    """Return the run of an entry for its tick `due`, to begin within `left_s` unless the entry says when.

    Raise OperationalError where the broker is away; any other error is logged.
    """
    header = {"entry": item.name, "due": due, "overlap": item.policy.overlap}
    headers = {**(item.options.get("headers") or {}), HEADER: header}
    changed = copy.copy(entry)
    # Not retried: a new connection has another channel, which would send it.
    changed.options = {"expires": left_s, **item.options, "headers": headers, "retry": False}
    try:
        with channel.captured() as caught:
            sent = apply_async(changed)
    except SchedulingError as error:
        cause = error.__context__
        if isinstance(cause, OperationalError):
            raise cause from error
        if isinstance(cause, unique.NotUnique):
            logger.info("beat: no run of %s: %s", item.name, cause)
        else:
            logger.exception("beat: a run of %s cannot be sent", item.name)
        return "", []
    if isinstance(sent, unique.Duplicate):
        logger.info("beat: no run of %s: job %s has its place", item.name, sent.id)
    elif not caught:
        logger.error("beat: %s put nothing on a queue: is it eager, or does it refuse?", item.task)
    return str(getattr(sent, "id", "")), caught


def settle(app: Celery, entry: Any, outcome: Outcome, ledger: TickLedger) -> None:
    """Let go of the place that a unique job took, where the job was not queued.

    Of a job that was, the book has the id until another is queued, and none is while it has its place.
    """
    task = app.tasks.get(entry.task)
    if task is not None and ledger.last_job(outcome.name) != outcome.job:
        with suppress(TypeError):  # arguments that are made anew for each run: its time ends its place
            unique.forget(task, outcome.job, entry.args, entry.kwargs)
