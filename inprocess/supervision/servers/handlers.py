"""Handlers: what the author of a GenServer writes, and what happens where nothing was written.

Each may be a plain method or an async one.
"""

from __future__ import annotations

from typing import Any

from inprocess.supervision.core.errors import UnhandledMessageError
from inprocess.supervision.core.exits import Exit
from inprocess.supervision.core.log import log
from inprocess.supervision.core.process import Process
from inprocess.supervision.core.redact import redact
from inprocess.supervision.servers.call import Caller
from inprocess.supervision.servers.server_report import shown_message


class Handlers(Process):
    """The handlers of a GenServer; see `gen_server` for when each is called."""

    __slots__ = ()

    def init(self, *args: Any, **kwargs: Any) -> Any:
        """Set the state up."""

    def handle_continue(self, argument: Any) -> Any:
        """Do what `continue_with` asked for."""

    def handle_call(self, request: Any, _caller: Caller, /) -> Any:
        """Return the reply, or NO_REPLY."""
        raise UnhandledMessageError(f"{self.name} has no handle_call for {shown_message(self, request)}")

    def handle_cast(self, message: Any, /) -> Any:
        """Deal with a message that wants no reply."""
        raise UnhandledMessageError(f"{self.name} has no handle_cast for {shown_message(self, message)}")

    def handle_info(self, message: Any, /) -> Any:
        """Deal with a message that came outside of call and cast: timers, exits of others."""
        log.error("%s got an unexpected info and passed over it: %s", self.name, shown_message(self, message))

    def terminate(self, ended: Exit, /) -> Any:
        """Clean up."""

    def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
        """Return what logs and `sys` may show of these values; each by `redact` unless overridden.

        Keys, where they are known: `state` (the server's attributes), `message` (the one that is
        being handled) and `reason` (the error). A value that is no text is shown by `redact`.
        """
        return {key: redact(value) for key, value in status.items()}
