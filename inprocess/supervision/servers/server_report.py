"""What a server shows of itself: its state, its ancestors, its messages, and the log of its crash.

The traceback in a crash log is Python's own and shows the error's text as it is: an error should
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
    """A server, as far as it shows itself."""

    @property
    def name(self) -> str:
        """What logs call it."""

    def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
        """Return what may be shown of these values."""


def state_of(server: object) -> dict[str, Any]:
    """The attributes that the server's own classes set, by name: those of the runtime are left out."""
    state = dict(getattr(server, "__dict__", {}))
    for name in _slots(server):
        if hasattr(server, name):
            state[name] = getattr(server, name)
    return state


def set_state(server: object, state: dict[str, Any]) -> None:
    """Make these the server's attributes; those that are missing are deleted."""
    for name in state_of(server).keys() - state.keys():
        delattr(server, name)
    for name, value in state.items():
        setattr(server, name, value)


def redacted(server: Shows, **status: Any) -> dict[str, str]:
    """The values as texts, after the server's `format_status`; where that fails, none of them is shown."""
    try:
        formatted = server.format_status(status)
        return {key: value if isinstance(value, str) else redact(value) for key, value in formatted.items()}
    except Exception:  # noqa: BLE001 - a crash must be logged whatever the hook does
        log.exception("%s failed in format_status", server.name)
        return dict.fromkeys(status, "[hidden: format_status failed]")


def redacted_message(server: Shows, message: object) -> str:
    """One message as a text, as `shown`."""
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
    """Log the crash as one record with its traceback; state and message as `format_status` shows them.

    `state` is the server's attributes; `kind` is that of the message during which it crashed, "none"
    where there was none; `client` is who called, for a call; `above` are the names of the supervisors,
    the nearest first.
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
        if "__process__" in slots:  # here begin the classes that are not the author's
            break
        own += [slots] if isinstance(slots, str) else slots
    return [name for name in own if not name.startswith("__")]
