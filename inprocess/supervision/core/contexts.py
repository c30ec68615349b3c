"""Contexts (`contextvars`): what the runtime calls runs in the context of what it serves.

A server runs in its starter's, a child in its own, and the scheduler in one of its own that is empty.
Without that, a callback would run in the context of whoever woke the scheduler last: in that of some
request.
"""

from __future__ import annotations

from contextvars import Context, copy_context
from typing import Final
from weakref import ReferenceType, ref

#: What is started from a context without variables shares this one: `copy_context() or EMPTY`. Copy it.
EMPTY: Final = Context()


class Origin:
    """A copy of the context that something was started from; several may share it.

    Call in a copy of it, `origin.context.copy().run(function)`, so that nothing that is set there stays.
    """

    __slots__ = ("__weakref__", "context")

    def __init__(self, context: Context) -> None:
        self.context = context


_FROM_EMPTY: Final = Origin(EMPTY)
_last: ReferenceType[Origin] | None = None


def origin(like: Origin | None = None) -> Origin:
    """Return a copy of the caller's context; `like`, or the last one, if it has the same variables."""
    now = copy_context()
    if not now:
        return _FROM_EMPTY
    global _last  # noqa: PLW0603 - a cache of one
    if like is not None and _is_same(like.context, now):
        return like
    known = None if _last is None else _last()
    if known is None or not _is_same(known.context, now):
        known = Origin(now)
        _last = ref(known)
    return known


def _is_same(one: Context, other: Context) -> bool:
    """Whether both have the same objects. `==` would call the objects' own, and take equals for the same."""
    if len(one) != len(other):
        return False
    return all(other.get(variable, one) is value for variable, value in one.items())
