"""Handlers with somebody watching: telemetry spans, and the records of `sys`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from inprocess.supervision.core.exits import Exit
from inprocess.supervision.core.telemetry import attached, span

if TYPE_CHECKING:
    from inprocess.supervision.servers.handlers import Handlers
    from inprocess.supervision.servers.mailbox import Extra, Message
    from inprocess.supervision.servers.message_loop import Engine


def is_awaitable(value: object) -> bool:
    """Whether it can be awaited. As `inspect.isawaitable`, but for coroutines made of generators."""
    return hasattr(type(value), "__await__")


def observed(server: Engine, message: Message, extra: Extra | None) -> Awaitable[Any] | None:
    """Handle the message as the engine does, watched."""
    kind = message[0] if isinstance(message, tuple) else "call"
    if kind == "system":
        return server.dispatch(message)
    if extra is not None and extra.debug is not None:
        extra.debug.received(message)
    if not attached or kind == "continue":
        return server.dispatch(message)
    return _spanned(span(("gen_server", kind), {"server": server.name}), server.dispatch, message)


def terminate_in_span(server: Handlers, ended: Exit) -> Awaitable[Any] | None:
    """Run `terminate` in a span."""
    about = {"server": server.name, "exit": ended}
    return _spanned(span(("gen_server", "terminate"), about), server.terminate, ended)


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
