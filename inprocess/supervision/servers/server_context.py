"""The context (`contextvars`) of a server's handlers: its own, copied from who started it.

Until its first message a server shares it with the others that were started from the same one.
"""

from __future__ import annotations

from contextvars import Context, copy_context
from weakref import ReferenceType, ref


class Origin:
    """The context of who started some servers, as it was then. To be copied and never entered."""

    __slots__ = ("__weakref__", "context")

    def __init__(self, context: Context) -> None:
        self.context = context


_last: ReferenceType[Origin] | None = None


def origin() -> Origin:
    """The caller's context; the same object as the last time where that is equal."""
    global _last  # noqa: PLW0603 - a cache of one
    now = copy_context()
    known = None if _last is None else _last()
    if known is None or known.context != now:
        known = Origin(now)
        _last = ref(known)
    return known
