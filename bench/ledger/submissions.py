"""The caller's half of the ledger: submit, then accepted or refused, around a hand-over.

What every side does alike before it, such as the INSERT of a user and its commit, stays outside.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from scenarios import jobs, ledger


def account_setup(user_id: str) -> AbstractContextManager[None]:
    """Around `set_up_user_account`: two jobs, submitted and accepted at the same times."""
    return _handover(jobs.ACCOUNT_SETUP, (jobs.crm(user_id), jobs.fulfillment(user_id)))


def welcome_email(user_id: str) -> AbstractContextManager[None]:
    """Around `send_welcome_email`: one job."""
    return _handover(jobs.WELCOME_EMAIL, (jobs.email(user_id),))


def fault_job(key: str) -> AbstractContextManager[None]:
    """Around the hand-over of a fault job (`bench.app.fault_jobs`), which the CRM knows by its key."""
    return _handover(jobs.ACCOUNT_SETUP, (jobs.crm(key),))


def call(task: str, name: str) -> AbstractContextManager[None]:
    """Around a call of a task of somebody's own app (`bench.own_app`)."""
    return _handover(task, (name,))


@contextmanager
def _handover(scenario: str, names: Sequence[str]) -> Iterator[None]:
    """Write `submit` before the call: a call that never returns has left that much."""
    submitted = time.monotonic_ns()
    for job in names:
        ledger.record("submit", t=submitted, scenario=scenario, job=job)
    try:
        yield
    except Exception as error:
        refused = time.monotonic_ns()
        reason = f"{type(error).__name__}: {error}"[:200]
        for job in names:
            ledger.record("refused", t=refused, scenario=scenario, job=job, error=reason)
        raise
    accepted = time.monotonic_ns()
    for job in names:
        ledger.record("accepted", t=accepted, scenario=scenario, job=job)
