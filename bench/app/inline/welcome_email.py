"""The e-mail in the call: the request waits for the mail server."""

from __future__ import annotations

import logging
import smtplib
from collections.abc import Mapping
from typing import Any

from scenarios import jobs, ledger, mail, users
from scenarios.users import User

_log = logging.getLogger(__name__)


def create_user(params: Mapping[str, Any]) -> User:
    """Validate, insert, commit and send the e-mail; raise ValidationError with the fields' errors.

    The user stays created where the mail server does not take the e-mail; the log says so.
    """
    user = users.create(params)
    send_welcome_email(user)
    return user


def send_welcome_email(user: User) -> None:
    """Send the e-mail to a committed user in the call; a failure is logged."""
    try:
        with ledger.attempt(jobs.WELCOME_EMAIL, jobs.email(user.id)):
            mail.send_welcome(user)
    except (smtplib.SMTPException, OSError) as error:
        _log.exception("the welcome e-mail of %s was not sent", user.id)
        ledger.failed(jobs.WELCOME_EMAIL, jobs.email(user.id), where="log", error=error)
