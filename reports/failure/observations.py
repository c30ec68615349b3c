"""What a fault's own checker recorded (`seen` of `failures.csv`), as a sentence for a person.

The checker writes `name value` for each of its facts, joined by semicolons. A fact that this file does
not know stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from reports.data import formatting

_SEPARATOR = "; "
_MS_PER_S = 1000


def values(seen: str) -> dict[str, str]:
    """Each fact of `seen` by its name."""
    parts = (part.rpartition(" ") for part in seen.split(_SEPARATOR) if part)
    return {name: value for name, _, value in parts if name}


def number(seen: str, name: str) -> float:
    """A fact that is a number; NaN where it was not recorded."""
    try:
        return float(values(seen).get(name, ""))
    except ValueError:
        return math.nan


def in_words(seen: str) -> str:
    """The facts as a sentence without its full stop; those that say nothing, as no overlap, are left out."""
    told = (_told(part) for part in seen.split(_SEPARATOR) if part)
    return ", ".join(filter(None, told))


def _told(part: str) -> str:
    name, _, value = part.rpartition(" ")
    if name in _NAMED:
        return _NAMED[name].get(value, part)
    if name in _NUMBERS:
        try:
            return _NUMBERS[name](float(value))
        except ValueError:
            return part
    return part


def _count(one: str, many: str, none: str = "") -> Callable[[float], str]:
    """Words for a count: of one, of several ("{}" is the number), and of none."""

    def words(value: float) -> str:
        if value == 0:
            return none
        return one if value == 1 else many.format(formatting.count(value))

    return words


def _time(text: str, *, per_ms: float = 1.0) -> Callable[[float], str]:
    return lambda value: text.format(formatting.ms(value * per_ms)) if math.isfinite(value) else ""


_NUMBERS: Mapping[str, Callable[[float], str]] = {
    "ticks due": _count("1 tick due", "{} ticks due", "no tick due"),
    "missed": _count("1 missed", "{} missed", "none missed"),
    "duplicates": _count("1 doubled", "{} doubled", "none doubled"),
    "overlaps": _count("1 overlapped", "{} overlapped"),
    "bursts": _count("1 twice within half an interval", "{} twice within half an interval"),
    "age max ms": _time("the balance at most {} old"),
    "step ms": _time("largest step of the phase {}"),
    "status": lambda value: f"the caller was answered with HTTP {value:.0f}",
    "runs": _count("the job ran once", "the job ran {} times", "the job did not run"),
    "killed": _count(
        "the limit killed 1 process", "the limit killed {} processes", "the limit killed no process"
    ),
    "late short": _count("1 short job late", "{} short jobs late", "no short job late"),
    "handover s": _time("the hand-over took {}", per_ms=_MS_PER_S),
    "broker mb": lambda value: f"the broker grew by {formatting.number(value)} MB",
    "herd": _count("1 request at one moment", "{} requests at one moment", "no request"),
    "share": lambda value: f"which is {formatting.percent(value)} of the users",
    "syncs": _count("1 sync in all", "{} syncs in all", "no sync at all"),
    "refused when full": _count(
        "1 hand-over refused while the broker was full",
        "{} hand-overs refused while the broker was full",
        "no hand-over refused while the broker was full",
    ),
    "response p50 ms": _time("median response {}"),
    "taken": _count(
        "1 hand-over accepted without the result store",
        "{} hand-overs accepted without the result store",
        "no hand-over accepted without the result store",
    ),
    "worker exit code": lambda value: f"the worker ended with exit code {value:.0f}",
}
_NAMED: Mapping[str, Mapping[str, str]] = {
    "step": {
        "repaid": "after which the phase came back",
        "permanent": "and the phase stayed moved",
        "unknown": "",
    },
    "content": {
        "snapshot": "the job saw the argument as it was at the hand-over",
        "changed": "the job saw the argument as it was changed later",
        "none": "the job did not run",
    },
}
