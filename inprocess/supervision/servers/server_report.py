"""What logs and `sys` show of a server: its state, its messages, its crash.

The traceback in a crash log is Python's own and contains the error's text unchanged, so errors should
not quote secrets.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Sequence
from typing import Any, Protocol

from inprocess.supervision.core.exits import Exit
from inprocess.supervision.core.log import log
from inprocess.supervision.core.redact import redact


class Shows(Protocol):
    """A server with a name and a `format_status`."""

    @property
    def name(self) -> str:
        """The name that logs show."""

    def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
        """Return what may be shown of these values."""


def state_of(server: object) -> dict[str, Any]:
    """Return the attributes that the server's own classes set, by name, without those of the runtime."""
    state = dict(getattr(server, "__dict__", {}))
    for name in _slots(server):
        if hasattr(server, name):
            state[name] = getattr(server, name)
    return state


def set_state(server: object, state: dict[str, Any]) -> None:
    """Replace the server's attributes, and delete those that are missing; if one fails, change none."""
    before = state_of(server)
    try:
        _assign(server, before, state)
    except BaseException:
        _assign(server, state_of(server), before)
        raise


def _assign(server: object, old: dict[str, Any], new: dict[str, Any]) -> None:
    for name in old.keys() - new.keys():
        delattr(server, name)
    for name, value in new.items():
        setattr(server, name, value)


def redacted(server: Shows, **status: Any) -> dict[str, str]:
    """Return the values as strings, after `format_status`. If that fails, hide all of them."""
    try:
        formatted = server.format_status(status)
        return {key: value if type(value) is str else redact(value) for key, value in formatted.items()}
    except BaseException:  # noqa: BLE001 - the crash must be logged, whatever the hook does
        log.exception("%s failed in format_status", server.name)
        return dict.fromkeys(status, "[hidden: format_status failed]")


def redacted_message(server: Shows, message: object) -> str:
    """Return one message as a string, as `redacted` does."""
    return redacted(server, message=message).get("message", "[hidden]")


def log_crash(
    server: Shows,
    ended: Exit,
    *,
    state: dict[str, Any],
    kind: str,
    message: object,
    client: str | None,
    above: Sequence[str],
) -> None:
    """Log a crash as one record with its traceback.

    `state` is the server's attributes; `kind` is the kind of the message being handled, "none" without
    one; `client` describes the caller of a call; `above` are the names of the supervisors, nearest
    first. `format_status` decides what is shown of state and message.
    """
    status: dict[str, Any] = {"reason": ended.error, "state": state}
    if kind != "none":
        status["message"] = message
    texts = redacted(server, **status)
    log.error(
        "%s crashed: %s\n  last message: %s%s\n  ancestors: %s\n  state: %s",
        server.name,
        "killed" if isinstance(ended.error, CancelledError) else texts.get("reason"),
        f"{kind} {texts.get('message', '')}".rstrip(),
        "" if client is None else f"\n  called by: {client}",
        " < ".join(above) or "none",
        texts.get("state"),
        exc_info=ended.error,
    )


def _slots(server: object) -> list[str]:
    own: list[str] = []
    for kind in type(server).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        if "__process__" in slots:  # GenServer: the author's classes come before it
            break
        own += [slots] if isinstance(slots, str) else slots
    return [name for name in own if not name.startswith("__")]
