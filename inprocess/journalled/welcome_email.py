"""Fire-and-forget e-mail that a kill does not lose: its job is written in the user's own transaction.

So there is no user without a job, and no job of a user whose insert was rolled back. Nobody waits for it and
nobody retries it, as in the other builds; a send that a kill cut off runs again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from inprocess.journal import durable
from inprocess.journalled import application
from inprocess.journalled.records import attempt, refused
from scenarios import jobs, ledger, mail, users
from scenarios.contract import RefusedError
from scenarios.database import engine
from scenarios.users import User

log = logging.getLogger("inprocess")


def create_user(params: Mapping[str, Any]) -> User:
    """Create the user and the job, and return the user. See `scenarios.contract.WelcomeEmail`.

    Writes to the database before it returns: a coroutine calls it through `asyncio.to_thread`. Raise
    ValidationError with the errors of each field.
    """
    application.home()
    return users.create(params, also=_enqueue)


def send_welcome_email(user: User) -> None:
    """Write the job of a committed user's e-mail, and return when it is on disk."""
    application.home()
    try:
        with refused(f"welcome e-mail to {user.id}"), engine().begin() as transaction:
            _enqueue(transaction, user)
    except RefusedError as error:
        log.exception("user %s is created, but gets no welcome e-mail", user.id)
        ledger.failed(jobs.WELCOME_EMAIL, jobs.email(user.id), where="log", error=error)


def _enqueue(transaction: Connection, user: User) -> None:
    send.enqueue(user.id, within=transaction, key=jobs.email(user.id), journal=application.journal())


@durable(name="welcome_email.send", retry=None)
def send(user_id: str) -> None:
    """Send the e-mail. A failure is an error in the log and a job in the dead set."""
    with attempt(jobs.WELCOME_EMAIL, jobs.email(user_id)):
        mail.send_welcome(users.get(user_id))
