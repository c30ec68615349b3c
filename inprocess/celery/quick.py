"""Short cuts for what Celery looks up or writes out again and again when a task is sent.

Each gives exactly what Celery's own code gives, or leaves the case to that code; tests compare the
two. `delay` spends half of its time in these.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from inprocess.celery.internals import saferepr

#: Longer texts are Celery's to cut.
LONGEST_TEXT: Final = 100
#: More arguments than these are Celery's to cut.
MOST_ARGUMENTS: Final = 8

_NUMBERS: Final = frozenset((int, bool, float, type(None)))


def quick_repr(args: Sequence[Any], longest: int, levels: int = 3) -> str:
    """`saferepr(args, longest, levels)`: at a tenth of its price for a few numbers and plain words."""
    if len(args) <= MOST_ARGUMENTS and longest >= LONGEST_TEXT * 10 and levels > 0:
        for value in args:
            kind = type(value)
            if kind not in _NUMBERS and not (kind is str and len(value) <= LONGEST_TEXT and _is_plain(value)):
                break
        else:
            return repr(args)
    return str(saferepr(args, longest, maxlevels=levels))


def _is_plain(text: str) -> bool:
    """Whether repr and saferepr write it alike: nothing to escape, nothing that speaks for double quotes."""
    return text.isprintable() and "'" not in text and "\\" not in text
