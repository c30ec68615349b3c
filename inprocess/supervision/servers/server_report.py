"""What a server shows of itself: its state, its ancestors, and both as a log may print them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inprocess.supervision.core.process import Process, log
from inprocess.supervision.core.redact import redact

if TYPE_CHECKING:
    from inprocess.supervision.servers.handlers import Handlers

#: Where the classes begin that are not the user's.
_RUNTIME = "inprocess.supervision.servers.gen_server"


def state_of(server: Handlers) -> dict[str, Any]:
    """The attributes that the server's own classes set, by name: those of the runtime are left out."""
    state = dict(getattr(server, "__dict__", {}))
    for name in _slots(server):
        if hasattr(server, name):
            state[name] = getattr(server, name)
    return state


def set_state(server: Handlers, state: dict[str, Any]) -> None:
    """Make these the server's attributes; those that are missing are deleted."""
    for name in state_of(server).keys() - state.keys():
        delattr(server, name)
    for name, value in state.items():
        setattr(server, name, value)


def ancestors(process: Process) -> list[str]:
    """Names of the supervisors above it, the nearest first."""
    found = []
    above = process.parent
    while above is not None:
        found.append(above.name)
        above = above.parent
    return found


def shown(server: Handlers, **status: Any) -> dict[str, str]:
    """The values as texts, after the server's `format_status`; where that fails, none of them is shown."""
    try:
        formatted = server.format_status(status)
        return {key: value if isinstance(value, str) else redact(value) for key, value in formatted.items()}
    except Exception:  # noqa: BLE001 - a crash must be logged whatever the hook does
        log.exception("%s failed in format_status", server.name)
        return dict.fromkeys(status, "[hidden: format_status failed]")


def shown_message(server: Handlers, message: object) -> str:
    """One message as a text, as `shown`."""
    return shown(server, message=message).get("message", "[hidden]")


def _slots(server: Handlers) -> list[str]:
    own: list[str] = []
    for kind in type(server).__mro__:
        if kind.__module__ == _RUNTIME:
            break
        slots = kind.__dict__.get("__slots__", ())
        own += [slots] if isinstance(slots, str) else slots
    return [name for name in own if not name.startswith("__")]
