"""Inspect and change a running server or supervisor, as OTP's `:sys`.

    from inprocess import sys

    await sys.get_state(server)
    await sys.replace_state(server, lambda state: {**state, "count": 0})
    await sys.suspend(server)

Each function sends a message and the server handles it between two others, so it sees no half-done
state. A server whose handler hangs does not answer: CallTimeoutError is raised after `timeout`
seconds. ServerDiedError is raised if the server has ended. Await them from a coroutine on any loop;
from a thread without a loop call `from_thread(get_state, server)`.

Supervisors have get_state, get_status, suspend and resume. A suspended one starts and restarts nothing until
`resume`; what it is asked for meanwhile waits. It can still be looked at, and ended.

For debugging only: the state is the server's own, not a copy, and its contents are no interface.

Differences from OTP: the state is the server's attributes, as a dictionary. Traces go to the log or
to a function. There is no code change, and no `terminate`: see `GenServer.stop`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar, cast, overload

from inprocess.supervision.core.log import log as _log
from inprocess.supervision.core.process import Process, ancestors
from inprocess.supervision.core.redact import redact
from inprocess.supervision.servers.debug import Debug, Event, Statistics, Trace
from inprocess.supervision.servers.gen_server import CALL_TIMEOUT_S, GenServer
from inprocess.supervision.servers.server_report import redacted, set_state, state_of

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S", bound=Process)


@dataclass(frozen=True, slots=True)
class Status:
    """The result of `get_status`."""

    name: str
    kind: str
    status: Literal["running", "suspended"]
    #: Names of the supervisors above it, nearest first.
    ancestors: tuple[str, ...]
    #: Number of messages that wait.
    mailbox_depth: int
    #: Seconds since its start.
    uptime: float
    #: The state, as `format_status` shows it.
    state: str
    #: The events that `log` has kept.
    log: tuple[Event, ...]


async def get_state(process: Process, *, timeout: float = CALL_TIMEOUT_S) -> dict[str, Any]:  # noqa: ASYNC109 - OTP's option
    """Return the server's attributes by name, or the supervisor's options and children.

    Change a server's values only in `replace_state`.
    """
    return await _ask(process, lambda process: process.__process__.system_state(), timeout)


async def replace_state(
    server: GenServer,
    change: Callable[[dict[str, Any]], dict[str, Any]],
    *,
    timeout: float = CALL_TIMEOUT_S,  # noqa: ASYNC109 - OTP's option
) -> dict[str, Any]:
    """Replace the server's attributes by `change(attributes)` and return them.

    If `change` raises, or an attribute cannot be set, nothing is changed and the error is raised here, not in
    the server.
    """

    def replace(server: GenServer) -> dict[str, Any]:
        state = change(state_of(server))
        if not isinstance(state, dict):
            raise TypeError(f"the change returned {redact(state)}: expected the attributes, as a dictionary")
        set_state(server, state)
        return state

    return await _ask_server(server, replace, timeout)


async def get_status(process: Process, *, timeout: float = CALL_TIMEOUT_S) -> Status:  # noqa: ASYNC109 - OTP's option
    """Return what the server or supervisor is doing, safe to print."""
    return await _ask(process, _status, timeout)


async def suspend(process: Process, *, timeout: float = CALL_TIMEOUT_S) -> None:  # noqa: ASYNC109 - OTP's option
    """Handle no message, start and restart no child until `resume`.

    Requests of this module, and to end, are handled all the same.
    """
    await _ask(process, lambda process: process.__process__.suspend(on=True), timeout)


async def resume(process: Process, *, timeout: float = CALL_TIMEOUT_S) -> None:  # noqa: ASYNC109 - OTP's option
    """End `suspend`. Has no effect without one."""
    await _ask(process, lambda process: process.__process__.suspend(on=False), timeout)


async def trace(
    server: GenServer,
    to: bool | Trace = True,  # noqa: FBT001, FBT002 - on or off is what it is about
    *,
    timeout: float = CALL_TIMEOUT_S,  # noqa: ASYNC109 - OTP's option
) -> None:
    """Log each message and reply at level info, or pass it to the function `to`; False ends it."""

    def change(server: GenServer) -> None:
        debug = _debug(server)
        debug.trace = _logging(server) if to is True else (to or None)
        _tidy(server)

    await _ask_server(server, change, timeout)


@overload
async def log(server: GenServer, wanted: int | Literal["stop"], *, timeout: float = ...) -> None: ...  # noqa: ASYNC109 - OTP's option
@overload
async def log(
    server: GenServer,
    wanted: Literal["get"] = ...,
    *,
    timeout: float = ...,  # noqa: ASYNC109 - OTP's option
) -> list[Event]: ...


async def log(
    server: GenServer,
    wanted: int | Literal["get", "stop"] = "get",
    *,
    timeout: float = CALL_TIMEOUT_S,  # noqa: ASYNC109 - OTP's option
) -> list[Event] | None:
    """Keep the last events: a number of them from now on, "get" returns them, "stop" ends it."""
    return await _ask_server(server, lambda server: _log_events(server, wanted), timeout)


async def statistics(
    server: GenServer,
    wanted: Literal["start", "get", "stop"] = "get",
    *,
    timeout: float = CALL_TIMEOUT_S,  # noqa: ASYNC109 - OTP's option
) -> Statistics | None:
    """Count messages from "start" to "stop"; return the counts so far, None if nothing is counted."""

    def change(server: GenServer) -> Statistics | None:
        debug = _debug(server)
        if wanted == "start":
            debug.count(on=True)
        counted = debug.counted()
        if wanted == "stop":
            debug.count(on=False)
        _tidy(server)
        return counted

    return await _ask_server(server, change, timeout)


def from_thread(
    function: Callable[Concatenate[S, P], Coroutine[Any, Any, T]],
    server: S,
    *args: P.args,
    **options: P.kwargs,
) -> T:
    """Call a function of this module from a thread. Raise RuntimeError on the loop's own thread."""
    process = server.__process__
    if process.is_here:
        raise RuntimeError(
            f"{process.name}: on the loop's own thread, await sys.{function.__name__}() instead"
        )
    timeout = options.get("timeout", CALL_TIMEOUT_S)
    return process.from_thread(partial(function, server, *args, **options), cast("float | None", timeout))


def _ask(process: S, function: Callable[[S], T], timeout: float) -> Coroutine[Any, Any, T]:
    return process.__process__.call_system(function, timeout)


def _ask_server(
    server: GenServer, function: Callable[[GenServer], T], timeout: float
) -> Coroutine[Any, Any, T]:
    """Like `_ask`; raise TypeError for a supervisor."""
    given: object = server
    if not isinstance(given, GenServer):
        raise TypeError(
            f"{given!r} is no GenServer: a supervisor has get_state, get_status, suspend and resume"
        )
    return _ask(server, function, timeout)


def _status(handle: Process) -> Status:
    process = handle.__process__
    state, events = process.system_state(), None
    if isinstance(handle, GenServer):
        extra = handle.__process__.extra
        events = None if extra is None or extra.debug is None else extra.debug.events
        shown = redacted(handle.__process__, state=state).get("state", "")
    else:
        shown = redact(state)
    return Status(
        name=process.name,
        kind=type(handle).__qualname__,
        status="suspended" if getattr(process, "is_suspended", False) else "running",
        ancestors=tuple(ancestors(process)),
        mailbox_depth=process.mailbox_depth,
        uptime=process.scheduler.monotonic() - process.started_at,
        state=shown,
        log=tuple(events or ()),
    )


def _log_events(server: GenServer, wanted: int | Literal["get", "stop"]) -> list[Event] | None:
    debug = _debug(server)
    events = debug.events
    if wanted == "stop":
        debug.events = None
    elif wanted != "get":
        debug.events = deque(events or (), maxlen=wanted)
    _tidy(server)
    return list(events or ()) if wanted == "get" else None


def _debug(server: GenServer) -> Debug:
    process = server.__process__
    extra = process.ensure_extra()
    if extra.debug is None:
        extra.debug = Debug(process)
    return extra.debug


def _tidy(server: GenServer) -> None:
    """Remove a Debug that records nothing, so that messages are handled without it again."""
    extra = server.__process__.ensure_extra()
    if extra.debug is not None and extra.debug.is_idle:
        extra.debug = None


def _logging(server: GenServer) -> Trace:
    return lambda event: _log.info("%s %s", server.__process__.name, event)
