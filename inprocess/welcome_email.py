"""Fire-and-forget e-mail: the user is created and committed, then `Task.start` sends the mail.

Sending blocks, so it runs in a thread. Nobody waits for it and nothing retries it: a failure is
an error in the log. At the app's end it is not waited for either; a send that has begun is
finished by its thread, if that takes EXIT_WAIT_S (see `isolation`) at most; one that has not is
dropped and reported.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from inprocess import application
from inprocess.supervision.core.errors import Refused
from inprocess.supervision.tasks.task import Task
from scenarios import jobs, ledger, mail, users
from scenarios.users import User

log = logging.getLogger("inprocess")


def create_user(params: Mapping[str, Any]) -> User:
    """Create the user and return it, the e-mail under way; see `scenarios.contract.WelcomeEmail`.

    Writes to the database before it returns, so a coroutine calls it through `asyncio.to_thread`
    where its loop must not wait for that. Raise ValidationError with the fields' errors.
    """
    user = users.create(params)
    sending = Task.start(_send, user, name=jobs.email(user.id), loop=application.home())
    if isinstance(sending, Refused):
        log.error("user %s is created, but gets no welcome e-mail: %s", user.id, sending.text)
        ledger.failed(jobs.WELCOME_EMAIL, jobs.email(user.id), where="log", error=sending.text)
    return user


def _send(user: User) -> None:
    job = jobs.email(user.id)
    try:
        with ledger.attempt(jobs.WELCOME_EMAIL, job):
            mail.send_welcome(user)
    except Exception as error:
        ledger.failed(jobs.WELCOME_EMAIL, job, where="log", error=error)
        raise  # to the crash log
