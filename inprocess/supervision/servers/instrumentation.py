"""Telemetry spans around handlers, and the records of `sys`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from inprocess.supervision.core.exits import Exit
from inprocess.supervision.core.telemetry import attached, span


class Call(Protocol):
    """A message that is a call."""

    @property
    def request(self) -> Any:
        """The request."""

    def describe(self) -> str:
        """Describe the caller."""


class Records(Protocol):
    """Records what a server receives."""

    def received(self, kind: str, payload: object, client: Callable[[], str] | None) -> None:
        """Record a message before it is handled."""


#: A message: a call, or a pair of its kind and its content.
M = TypeVar("M", bound=Call | tuple[str, Any])


def is_awaitable(value: object) -> bool:
    """Whether it can be awaited. Like `inspect.isawaitable`, without generator-based coroutines."""
    return hasattr(type(value), "__await__")


def observed(
    server: str, dispatch: Callable[[M], Awaitable[Any] | None], message: M, records: Records | None
) -> Awaitable[Any] | None:
    """Record the message, then handle it with `dispatch` in a span; `server` is the server's name."""
    if isinstance(message, tuple):
        kind, payload = message
        client = None
    else:
        kind, payload, client = "call", message.request, message.describe
    if kind == "system":
        return dispatch(message)
    if records is not None:
        records.received(kind, payload, client)
    if not attached or kind == "continue":
        return dispatch(message)
    return _spanned(span(("gen_server", kind), {"server": server}), dispatch, message)


def terminate_in_span(server: str, terminate: Callable[[Exit], Any], ended: Exit) -> Awaitable[Any] | None:
    """Run a server's `terminate` in a span; `server` is the server's name."""
    return _spanned(span(("gen_server", "terminate"), {"server": server, "exit": ended}), terminate, ended)


def _spanned(watched: span, handler: Callable[[Any], Any], argument: object) -> Awaitable[Any] | None:
    """Call the handler in the span; if it returns an awaitable, the span ends with that."""
    watched.__enter__()
    try:
        pending = handler(argument)
    except BaseException as error:
        watched.__exit__(type(error), error, error.__traceback__)
        raise
    if pending is not None and is_awaitable(pending):
        return _rest(watched, pending)
    watched.__exit__(None, None, None)
    return None


async def _rest(watched: span, pending: Awaitable[Any]) -> Any:
    try:
        outcome = await pending
    except BaseException as error:
        watched.__exit__(type(error), error, error.__traceback__)
        raise
    watched.__exit__(None, None, None)
    return outcome
