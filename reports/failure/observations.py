"""What a fault's own checker recorded (`seen` of `failures.csv`), as a sentence for a person.

The checker writes `name value` for each of its facts, joined by semicolons. A fact that this file does
not know stays as it is.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import takewhile

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


def over_strikes(seen: Iterable[str]) -> str:
    """As `in_words`, of all strikes that recorded anything, with their number where there are several.

    Counts of ticks are sums over the strikes; the rest are extremes, or ranges over the single strikes.
    """
    strikes = [text for text in seen if text]
    if len(strikes) < 2:  # noqa: PLR2004 - several
        return in_words("".join(strikes))
    found: dict[str, list[str]] = {}
    for strike in strikes:
        for part in filter(None, strike.split(_SEPARATOR)):
            found.setdefault(part.rpartition(" ")[0], []).append(part)
    told = (_told_together(name, parts, len(strikes)) for name, parts in found.items())
    text = ", ".join(filter(None, told))
    which = "over" if _SUMMED & found.keys() else "in each of"
    return f"{which} {len(strikes)} strikes: {text}" if text else ""


def _told_together(name: str, parts: Sequence[str], strikes: int) -> str:
    """One fact of several strikes."""
    if name in _NAMED:
        counted = Counter(text for part in sorted(parts, key=_place) if (text := _told(part)))
        return ", ".join(
            text if times == strikes else f"{text} in {times} of {strikes} strikes"
            for text, times in counted.items()
        )
    try:
        numbers = [float(part.rpartition(" ")[2]) for part in parts] if name in _NUMBERS else []
    except ValueError:
        numbers = []
    known = [value for value in numbers if math.isfinite(value)]
    if not numbers:
        return ", ".join(dict.fromkeys(parts))
    if not known:
        return ""
    words = _NUMBERS[name]
    if name in _SUMMED:
        return words(sum(known))
    if name in _EXTREMES:
        return words(max(known, key=abs))
    return _range(words(min(known)), words(max(known)))


def _place(part: str) -> int:
    """The place of a named value in the order of its texts."""
    name, _, value = part.rpartition(" ")
    return list(_NAMED[name]).index(value) if value in _NAMED[name] else len(_NAMED[name])


def _range(low: str, high: str) -> str:
    """Two sentences that differ in a number, as one: "the hand-over took 200 to 300 ms"."""
    first, last = low.split(), high.split()
    if first == last or not (first and last):
        return low or high
    begin = _alike(first, last)
    end = _alike(first[begin:][::-1], last[begin:][::-1])
    middle = [*first[begin : len(first) - end], "to", *last[begin : len(last) - end]]
    return " ".join([*first[:begin], *middle, *first[len(first) - end :]])


def _alike(one: Sequence[str], other: Sequence[str]) -> int:
    """How many words both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


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


#: Facts that are counts of ticks, and add up over strikes; and those of which the largest is told.
_SUMMED = frozenset({"ticks due", "missed", "duplicates", "overlaps", "bursts"})
_EXTREMES = frozenset({"age max ms", "step ms"})
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
