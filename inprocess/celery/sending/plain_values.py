"""Fast paths for texts and copies that Celery makes at each call.

Each returns exactly what Celery's own code returns, or uses that code; tests compare them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from inprocess.celery.celery_internals.internals import saferepr

#: Longer strings are left to Celery.
LONGEST_TEXT: Final = 100
#: More arguments are left to Celery.
MOST_ARGUMENTS: Final = 8
#: Greater numbers are left to JSON.
GREATEST: Final = 2**63

_NUMBERS: Final = frozenset((bool, float, type(None)))


def are_plain(values: Iterable[Any]) -> bool:
    """Whether these are a few numbers and short strings, which JSON returns unchanged."""
    for value in values:
        kind = type(value)
        if kind is str:
            if len(value) > LONGEST_TEXT or not value.isprintable() or "'" in value or "\\" in value:
                return False
        elif kind is int:
            if not -GREATEST < value < GREATEST:
                return False
        elif kind not in _NUMBERS:
            return False
    return True


def quick_repr(args: Sequence[Any], longest: int, levels: int = 3) -> str:
    """Return `saferepr(args, longest, levels)`, at a tenth of its cost for a few plain values."""
    if len(args) <= MOST_ARGUMENTS and longest >= LONGEST_TEXT * 10 and levels > 0 and are_plain(args):
        return repr(args)
    return str(saferepr(args, longest, maxlevels=levels))
