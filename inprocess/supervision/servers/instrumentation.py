"""Handlers with somebody watching: telemetry spans, and the records of `sys`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from inprocess.supervision.core.exits import Exit
from inprocess.supervision.core.telemetry import attached, span


class Call(Protocol):
    """A message that is a call."""

    @property
    def request(self) -> Any:
        """What is asked."""

    def describe(self) -> str:
        """Who asks."""


class Records(Protocol):
    """Who records what a server does."""

    def received(self, kind: str, payload: object, client: Callable[[], str] | None) -> None:
        """Note a message that is about to be handled."""


#: A message: a call, or a pair of its kind and what was sent.
M = TypeVar("M", bound=Call | tuple[str, Any])


def is_awaitable(value: object) -> bool:
    """Whether it can be awaited. As `inspect.isawaitable`, but for coroutines made of generators."""
    return hasattr(type(value), "__await__")


def observed(
    server: str, dispatch: Callable[[M], Awaitable[Any] | None], message: M, records: Records | None
) -> Awaitable[Any] | None:
    """Handle a message by `dispatch`, watched; `server` is the server's name, `records` who records it."""
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
    """Run a server's `terminate` in a span; `server` is its name."""
    return _spanned(span(("gen_server", "terminate"), {"server": server, "exit": ended}), terminate, ended)


def _spanned(watched: span, handler: Callable[[Any], Any], argument: object) -> Awaitable[Any] | None:
    """Call the handler in the span; what it has to await ends the span later."""
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
