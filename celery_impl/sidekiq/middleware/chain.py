"""A chain of middleware: the order of the calls, and how to change it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Literal

from celery_impl.sidekiq.middleware.base import CallNext, Middleware, MiddlewareError

Side = Literal["client", "server"]
#: How an entry is named: by its class, or by the very object.
Which = type[Middleware] | Middleware


class Chain:
    """The middleware of one side, outermost first; `call(job)` passes a job through all of it.

    `own` are the entries that `Sidekiq(app)` brings, `last` is what the innermost one calls. Change a chain
    while the app is set up, before its first job: calls that are under way do not see the change.
    """

    def __init__(self, side: Side, own: Sequence[Middleware], last: CallNext) -> None:
        self.side = side
        self._own = tuple(own)
        self._entries: list[Middleware] = list(own)
        #: The end of the chain alone, and the whole of it.
        self.last = self.call = last
        self._changed()

    def __iter__(self) -> Iterator[Middleware]:
        """The entries, outermost first."""
        return iter(tuple(self._entries))

    def __len__(self) -> int:
        """How many entries there are."""
        return len(self._entries)

    def __contains__(self, which: object) -> bool:
        """Return whether this object, or one of this class, is in the chain."""
        return any(_is(entry, which) for entry in self._entries)

    def __repr__(self) -> str:
        """The side and the classes of the entries."""
        return f"<{self.side} chain: {', '.join(type(entry).__name__ for entry in self._entries)}>"

    def add(self, entry: Middleware) -> None:
        """Add an entry: nearest to the task on the server side, outside of Sidekiq's own on the client side.

        Entries that were added before stay outside of it. So a client side may change what is checked and
        sent, and the errors of a server side are retried. Raise MiddlewareError for an object that is no
        middleware, or is in the chain already.
        """
        place = len(self._entries)
        if self.side == "client":
            place = next((n for n, known in enumerate(self._entries) if known in self._own), place)
        self._insert(place, entry)

    def prepend(self, entry: Middleware) -> None:
        """Add an entry outside of all others; raise MiddlewareError as `add`."""
        self._insert(0, entry)

    def insert_before(self, which: Which, entry: Middleware) -> None:
        """Add an entry just outside of another; raise MiddlewareError where that is not in the chain."""
        self._insert(self._place(which), entry)

    def insert_after(self, which: Which, entry: Middleware) -> None:
        """Add an entry just inside of another; raise MiddlewareError where that is not in the chain."""
        self._insert(self._place(which) + 1, entry)

    def remove(self, which: Which) -> None:
        """Remove this object, or all of this class; raise MiddlewareError where there is none."""
        self._place(which)
        self._entries = [entry for entry in self._entries if not _is(entry, which)]
        self._changed()

    def _insert(self, place: int, entry: Middleware) -> None:
        _check(entry, self.side)
        if any(known is entry for known in self._entries):
            raise MiddlewareError(f"{_name(entry)} is in the {self.side} chain already: remove it first")
        self._entries.insert(place, entry)
        self._changed()

    def _place(self, which: Which) -> int:
        for place, entry in enumerate(self._entries):
            if _is(entry, which):
                return place
        wanted = which.__name__ if isinstance(which, type) else _name(which)
        known = ", ".join(map(_name, self._entries)) or "nothing"
        raise MiddlewareError(f"no {wanted} in the {self.side} chain: it has {known}")

    def _changed(self) -> None:
        #: Whether it has what `Sidekiq(app)` brings, and nothing else.
        self.is_usual = self._entries == list(self._own)
        call = self.last
        for entry in reversed(self._entries):
            step: Callable[..., Any] = getattr(entry, self.side)
            guarded = step if entry in self._own else partial(_guarded, step, f"{self.side} middleware")
            call = partial(guarded, call_next=call)
        self.call = call


def sides_of(entry: Middleware) -> list[Side]:
    """Return the sides that a middleware overrides; raise MiddlewareError if there is none."""
    _check(entry)
    sides: list[Side] = ["client", "server"]
    found = [side for side in sides if getattr(type(entry), side) is not getattr(Middleware, side)]
    if not found:
        raise MiddlewareError(f"{_name(entry)} overrides neither client nor server: it would do nothing")
    return found


def _check(entry: Any, *sides: Side) -> None:
    if isinstance(entry, type):
        raise MiddlewareError(f"{entry.__name__} is a class: add an object of it, {entry.__name__}()")
    if not isinstance(entry, Middleware):
        raise MiddlewareError(f"{entry!r} is no middleware: derive its class from Middleware")
    for side in sides or ("client", "server"):
        if inspect.iscoroutinefunction(getattr(entry, side)):
            raise MiddlewareError(f"{_name(entry)}.{side} is async, and nobody awaits it: use a plain method")


def _guarded(step: Callable[[Any, CallNext], Any], what: str, job: Any, call_next: CallNext) -> Any:
    """Call an entry that a user wrote, and name it in an error of its own."""
    results: list[Any] = []
    passed: list[BaseException] = []

    def once(job: Any) -> Any:
        if results:
            raise MiddlewareError(f"{what} {_owner(step)} called call_next twice: a job is sent or run once")
        try:
            results.append(call_next(job))
        except BaseException as error:
            passed.append(error)
            raise
        return results[0]

    try:
        result = step(job, once)
    except Exception as error:
        if not any(error is known for known in passed):
            error.add_note(f"raised by {what} {_owner(step)}, of job {job!r}")
        raise
    finally:
        passed.clear()  # an error that is kept here would keep this frame, which keeps the error
    return results[0] if result is None and results else result


def _is(entry: Middleware, which: object) -> bool:
    return isinstance(entry, which) if isinstance(which, type) else entry is which


def _name(entry: Middleware) -> str:
    return type(entry).__name__


def _owner(step: Any) -> str:
    return type(step.__self__).__qualname__ if inspect.ismethod(step) else repr(step)
