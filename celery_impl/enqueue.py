"""Hands jobs to the broker: all of one call or none, and in bounded time where the profile allows."""

from __future__ import annotations

import os
from typing import Any

from celery.canvas import Signature
from kombu.exceptions import BatchPublishError, OperationalError  # type: ignore[attr-defined] # new in 5.7

from celery_impl import profiles
from celery_impl.app import app, profile
from scenarios.contract import RefusedError

#: A batch, in which jobs are sent through one producer, is not kept by the buffer.
_BUFFERED = profiles.buffer_size(os.environ) is not None


def enqueue(*jobs: Signature[Any]) -> None:
    """Publish the jobs; raise RefusedError where the broker does not take them.

    hardened with a buffer: one `delay` after the other; what the broker does not take is kept in this
    process and sent later, so that nothing is refused until the buffer is full.
    hardened: one pipelined write for all, so a broker that refuses takes none. It returns or raises
    within about a second. A broker that stays silent may have received the jobs and may still run
    them once it wakes; the error's text says so.
    stock: one `delay` after the other, as Celery's manual has it; the second may be refused after the
    first was taken, and a silent broker blocks the caller for as long as it is silent.
    """
    (_enqueue_together if profile.sidekiq and not _BUFFERED else _enqueue_one_by_one)(jobs)


def _enqueue_together(jobs: tuple[Signature[Any], ...]) -> None:
    try:
        with app.producer_or_acquire() as producer, producer.batch():
            for job in jobs:
                job.apply_async(producer=producer)
    except BatchPublishError as error:
        message = f"the broker did not confirm: {error.__cause__}; a silent one may run the work later"
        raise RefusedError(message) from error
    except OperationalError as error:
        message = f"the broker did not take the work: {error}; see that it runs, then try again"
        raise RefusedError(message) from error


def _enqueue_one_by_one(jobs: tuple[Signature[Any], ...]) -> None:
    taken: list[str] = []
    for job in jobs:
        try:
            job.delay()
        except OperationalError as error:
            before = f"; {' and '.join(taken)} was taken before and will run" if taken else ""
            message = f"the broker did not take {job.task}: {error}{before}"
            raise RefusedError(message) from error
        taken.append(str(job.task))
