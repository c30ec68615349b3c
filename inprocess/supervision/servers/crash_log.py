"""The log of a server that crashed: with what, during which message of whom, and whose server it was.

The traceback is Python's own and shows the error's text as it is: an error should not quote
secrets.
"""

from __future__ import annotations

from asyncio import CancelledError
from logging import ERROR
from typing import TYPE_CHECKING, Any

from inprocess.supervision.core.exits import Exit
from inprocess.supervision.core.process import log
from inprocess.supervision.servers.server_report import ancestors, shown, state_of

if TYPE_CHECKING:
    from inprocess.supervision.servers.call import Caller
    from inprocess.supervision.servers.handlers import Handlers


def log_crash(server: Handlers, ended: Exit, message: Caller | tuple[str, Any] | None) -> None:
    """Log the crash as one record with its traceback; state and message as `format_status` shows them."""
    if not log.isEnabledFor(ERROR):  # showing the state costs more than a restart does
        return
    status: dict[str, Any] = {"reason": ended.error, "state": state_of(server)}
    kind, client = "none", ""
    if isinstance(message, tuple):
        kind, status["message"] = message
    elif message is not None:
        kind, status["message"] = "call", message.request
        client = f"\n  called by: {message.describe()}"
    texts = shown(server, **status)
    above = " < ".join(ancestors(server)) or "none"
    log.error(
        "%s crashed: %s\n  last message: %s%s\n  ancestors: %s\n  state: %s",
        server.name,
        "killed" if isinstance(ended.error, CancelledError) else texts.get("reason"),
        f"{kind} {texts.get('message', '')}".rstrip(),
        client,
        above,
        texts.get("state"),
        exc_info=ended.error,
    )
