"""The welcome e-mail, sent over SMTP.

Blocking: the standard library has no asynchronous SMTP client. A coroutine sends through
`asyncio.to_thread`.
"""

from __future__ import annotations

import smtplib
from email import policy
from email.message import EmailMessage

from scenarios import settings
from scenarios.users import User

#: Who writes the e-mail, and the domain of its message ids.
SENDER = "welcome@queue-or-task.example"
# The standard library folds a long Message-ID into encoded words, which no server reads back.
_ONE_LINE = policy.SMTP.clone(max_line_length=998)


def send_welcome(user: User) -> None:
    """Send the e-mail; raise smtplib.SMTPException or OSError where the server does not take it."""
    settled = settings.current()
    with smtplib.SMTP(
        settled.smtp_host,
        settled.smtp_port,
        local_hostname="localhost",
        timeout=settled.dependency_timeout_s,
    ) as server:
        server.send_message(_message(user))


def _message(user: User) -> EmailMessage:
    message = EmailMessage(policy=_ONE_LINE)
    message["From"] = SENDER
    message["To"] = user.email
    message["Subject"] = f"Welcome, {' '.join(user.name.split())}"
    message["Message-ID"] = f"<{user.id}@queue-or-task.example>"
    message.set_content(f"Hello {user.name},\n\nyour account is ready.\n")
    return message
