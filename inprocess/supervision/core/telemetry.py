"""Telemetry: events of the runtime, passed to attached handlers. Without a handler they cost one check.

Like the BEAM's `telemetry` library. An event is a tuple of names; its measurements are numbers, its
metadata everything else. A handler runs at once and in the caller's thread: it must be short and must
not block.

    >>> from inprocess import telemetry
    >>> seen = []
    >>> telemetry.attach("docs", [("order", "stop")], lambda event, numbers, about: seen.append(about))
    >>> with telemetry.span(("order",), {"id": 7}):
    ...     pass
    >>> seen[0]["id"], telemetry.detach("docs")
    (7, True)

A handler that raises is detached and logged, and TELEMETRY_FAILED is executed: a fault of a handler
must not end the process that it observes.

Events of this package: spans of `start` and then `stop` or `exception`, and some single events. Under a
supervisor with a bound, such as `max_running`, the first start of a child has the measurement `waited` too,
the seconds since `start_child`.

| event                                       | of                    | metadata                      |
|---------------------------------------------|-----------------------|-------------------------------|
| ("task", …)                                 | an attempt of a child | name, attempt, child, supervisor |
| ("task", "given_up")                        | a child whose own window is exceeded | the same, exit, error |
| ("task", "refused")                         | a child that was not started | supervisor, reason, text |
| ("gen_server", "call" / "cast" / "info", …) | a message handled     | server                        |
| ("gen_server", "terminate", …)              | a server's end        | server, exit                  |
| ("periodic", "tick")                        | a run, or its refusal | server, outcome               |
| ("loop", "blocked")                         | a loop that stood still, `set_watchdog` | by, stack |
| ("telemetry", "handler", "failure")         | a handler detached    | handler_id, event, error      |
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Final

from inprocess.supervision.core.log import log

Event = tuple[str, ...]
Handler = Callable[[Event, Mapping[str, float], Mapping[str, Any]], object]

#: Executed after a handler raised and was detached; metadata: handler_id, event, error.
TELEMETRY_FAILED: Final[Event] = ("telemetry", "handler", "failure")

#: Handlers by event. Empty, and so false, without a handler: hot paths check this first. Changed only by
#: `attach` and `detach`.
attached: Final[dict[Event, tuple[tuple[str, Handler], ...]]] = {}

_changing = threading.Lock()


def attach(handler_id: str, events: Iterable[Event], handler: Handler) -> None:
    """Call `handler(event, measurements, metadata)` at each of these events. Any thread.

    Raise ValueError if the id is taken, or an event is not a tuple of names.
    """
    wanted = list(dict.fromkeys(events))
    for event in wanted:
        given: object = event
        if not isinstance(given, tuple) or not given or not all(isinstance(part, str) for part in given):
            raise ValueError(f"the event is {event!r}: expected a tuple of names, such as ('task', 'stop')")
    with _changing:
        if any(known == handler_id for handlers in attached.values() for known, _ in handlers):
            raise ValueError(f"a telemetry handler {handler_id!r} is attached: detach it, or use another id")
        for event in wanted:
            attached[event] = (*attached.get(event, ()), (handler_id, handler))


def detach(handler_id: str) -> bool:
    """Stop calling this handler; return False if there is none with this id. Any thread."""
    found = False
    with _changing:
        for event, handlers in list(attached.items()):
            left = tuple(entry for entry in handlers if entry[0] != handler_id)
            found = found or len(left) < len(handlers)
            if left:
                attached[event] = left
            else:
                del attached[event]
    return found


def execute(
    event: Event, measurements: Mapping[str, float] | None = None, metadata: Mapping[str, Any] | None = None
) -> None:
    """Call the handlers of this event in the order they were attached. Never raises their errors."""
    for handler_id, handler in attached.get(event, ()):
        try:
            handler(event, measurements or {}, metadata or {})
        except BaseException as error:  # noqa: BLE001 - a handler must not end the process that it observes
            detach(handler_id)
            log.exception("the telemetry handler %r failed at %s and was detached", handler_id, event)
            if event != TELEMETRY_FAILED:
                execute(TELEMETRY_FAILED, {}, {"handler_id": handler_id, "event": event, "error": error})


class span:  # noqa: N801 - used as a function: `with span(...)`
    """Execute `event + ("start",)`, run the block, then `+ ("stop",)` or, if it raises, `+ ("exception",)`.

    Measurements: `monotonic_time`, and `system_time` at the start, `duration` at the end; in seconds.
    All events get the metadata. `with span(...) as metadata:` lets the block add entries, which the last
    event has too, with `error` if the block raises. The error is raised again.
    """

    __slots__ = ("_event", "_metadata", "_started")

    def __init__(self, event: Event, metadata: Mapping[str, Any] | None = None) -> None:
        self._event = event
        self._metadata = dict(metadata or {})

    def __enter__(self) -> dict[str, Any]:
        self._started = now = time.monotonic()
        if attached:
            execute(
                (*self._event, "start"), {"monotonic_time": now, "system_time": time.time()}, self._metadata
            )
        return self._metadata

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if not attached:
            return
        now = time.monotonic()
        measurements = {"monotonic_time": now, "duration": now - self._started}
        if error is None:
            execute((*self._event, "stop"), measurements, self._metadata)
        else:
            execute((*self._event, "exception"), measurements, {**self._metadata, "error": error})
