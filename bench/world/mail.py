"""The mail server: real SMTP, with faults on request.

A message is accepted after the latency, with an `effect` for the job that its Message-ID names
(the part before the @ is the user's id). The last messages can be read back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from bench.world.faults import ServiceFaults
from scenarios import jobs, ledger

#: The answer of a mail server that fails, by default: "try again later".
DEFAULT_STATUS = 451
#: Messages that can be read back.
KEPT = 1000


class MailService:
    """The mailbox, the fault and the latency behind every connection; a handler of aiosmtpd."""

    def __init__(self, faults: ServiceFaults, latency_s: float) -> None:
        self.waiting = 0  # messages that hang now
        self.requests = 0
        self._faults = faults
        self.latency_s = latency_s
        self._kept: deque[tuple[str, EmailMessage]] = deque(maxlen=KEPT)

    def protocol(self) -> Any:
        """A protocol for one connection of `loop.create_server`."""
        return SMTP(self, hostname="localhost", enable_SMTPUTF8=True, ident="queue-or-task")

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Take one message, or do what the fault says."""
        message = message_from_bytes(envelope.original_content or b"", policy=policy.default)
        key = _user_id(message)
        self.requests += 1
        fault = self._faults.meet("mail", key)
        if fault and fault.mode == "hang":
            await self._hang()
        await asyncio.sleep(self.latency_s)
        if fault and fault.mode == "status":
            return f"{fault.status or DEFAULT_STATUS} told to fail"
        if fault and fault.mode == "slow":
            await asyncio.sleep(fault.delay_s(key))
        self._kept.append((key, message))
        ledger.record("effect", scenario=jobs.WELCOME_EMAIL, job=jobs.email(key))
        return "250 OK"

    def messages(self, user_id: str) -> list[dict[str, str]]:
        """The kept messages of one user, oldest first: from, to, subject and body."""
        return [_readable(message) for key, message in self._kept if key == user_id]

    async def _hang(self) -> None:
        """Wait for ever; aiosmtpd cancels this when the client goes."""
        self.waiting += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.waiting -= 1


def _user_id(message: EmailMessage) -> str:
    return str(message.get("Message-ID", "")).strip("<>").rpartition("@")[0]


def _readable(message: EmailMessage) -> dict[str, str]:
    headers = {name: str(message.get(name, "")) for name in ("from", "to", "subject")}
    return {**headers, "body": message.get_content()}
