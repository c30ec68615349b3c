"""Fire-and-forget e-mail: the user is created and committed, then `Task.start` sends the mail.

Sending blocks, so it runs in a thread. Nothing waits for it and nothing retries it: a failure is an error in
the log. The end of the app does not wait for it either: a send that has begun may finish within EXIT_WAIT_S
(see `isolation`); one that has not begun is dropped and reported.
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
    """Create the user and return it; the e-mail is being sent. See `scenarios.contract.WelcomeEmail`.

    Writes to the database before it returns: from a coroutine, call it through `asyncio.to_thread` if the
    loop must not wait. Raise ValidationError with the errors of each field.
    """
    user = users.create(params)
    send_welcome_email(user)
    return user


def send_welcome_email(user: User) -> None:
    """Start to send the e-mail to a committed user, and return; it never blocks."""
    sending = Task.start(_send, user, name=jobs.email(user.id), loop=application.home())
    if isinstance(sending, Refused):
        log.error("user %s is created, but gets no welcome e-mail: %s", user.id, sending.text)
        ledger.failed(jobs.WELCOME_EMAIL, jobs.email(user.id), where="log", error=sending.text)


def _send(user: User) -> None:
    job = jobs.email(user.id)
    try:
        with ledger.attempt(jobs.WELCOME_EMAIL, job):
            mail.send_welcome(user)
    except Exception as error:
        ledger.failed(jobs.WELCOME_EMAIL, job, where="log", error=error)
        raise  # to the crash log
