"""Fire and forget on Celery: a task with no retry and no result, queued after the commit."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from celery_impl import names
from celery_impl.app import app
from celery_impl.enqueue import enqueue
from scenarios import jobs, ledger, mail, users
from scenarios.contract import RefusedError
from scenarios.users import User

logger = logging.getLogger(__name__)


def create_user(params: Mapping[str, Any]) -> User:
    """Validate, insert, commit, queue the e-mail and return the user.

    Raise ValidationError with the fields' errors. Where the broker does not take the e-mail, a
    warning is logged and the user stays created.
    """
    user = users.create(params)
    send_welcome_email(user)
    return user


def send_welcome_email(user: User) -> None:
    """Queue the e-mail to a committed user; where the broker does not take it, a warning is logged."""
    try:
        enqueue(send_welcome.s(user.id))
    except RefusedError as error:
        logger.warning("no welcome e-mail for user %s", user.id, exc_info=True)
        ledger.failed(jobs.WELCOME_EMAIL, jobs.email(user.id), where="log", error=error)


@app.task(name=names.SEND_WELCOME, shared=False, ignore_result=True, sidekiq_retry=False)
def send_welcome(user_id: str) -> None:
    """Send the e-mail once; an error is logged and nothing else happens."""
    with ledger.attempt(jobs.WELCOME_EMAIL, jobs.email(user_id)):
        mail.send_welcome(users.get(user_id))
