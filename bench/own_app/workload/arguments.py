"""Arguments of a task, as they stand or made anew for each call. Pure and seeded.

A JSON value stands for itself. An object with exactly one of these keys makes values:

| object                 | makes                                                            |
|------------------------|------------------------------------------------------------------|
| `{"sequence": 1}`      | 1, 2, 3 … over the calls of the block                             |
| `{"choice": [a, b]}`   | one of them, drawn                                                |
| `{"integer": [1, 9]}`  | a whole number of that range, both ends included, drawn           |
| `{"text": 200}`        | so many letters, drawn                                            |
| `{"uuid": true}`       | a UUID, drawn                                                     |
| `{"format": "o-{n}"}`  | the text with the number of the call in it                        |
| `{"literal": {…}}`     | the object itself, should it look like one of these               |
"""

from __future__ import annotations

import json
import random
import string
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from bench.errors import BenchError

#: Makes one value from a draw and the number of the call.
Maker = Callable[[random.Random, int], Any]

#: Letters of the longest text that is made.
MAX_TEXT = 10_000_000


def from_json(text: str, *, where: str) -> Any:
    """Read JSON from the command line; raise BenchError that begins with `where`."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise BenchError(f"{where} is {text!r}, which is not JSON ({error}): write it as '[42]'") from error


def maker(value: Any, *, where: str) -> Maker:
    """What makes this value for each call; raise BenchError that begins with `where`."""
    if isinstance(value, list):
        parts = [maker(part, where=where) for part in value]
        return lambda draw, number: [part(draw, number) for part in parts]
    if isinstance(value, Mapping):
        return _of_object(value, where)
    if not (value is None or isinstance(value, str | int | float | bool)):
        raise BenchError(f"{where} holds {value!r}, which JSON does not know: write it as text")
    return lambda _draw, _number: value


def keywords(value: Mapping[str, Any], *, where: str) -> Maker:
    """What makes an object with these keys, whatever their names; raise BenchError as `maker`."""
    parts = {key: maker(part, where=where) for key, part in value.items()}
    return lambda draw, number: {key: part(draw, number) for key, part in parts.items()}


def _of_object(value: Mapping[str, Any], where: str) -> Maker:
    if len(value) == 1:
        ((name, option),) = value.items()
        if name in _MAKERS:
            try:
                return _MAKERS[name](option)
            except (TypeError, ValueError, KeyError, IndexError) as error:
                told = f"{where} has {{{name!r}: {option!r}}}: {error}"
                raise BenchError(f"{told}; see docs/bring-your-own.md") from error
    return keywords(value, where=where)


def _sequence(first: Any) -> Maker:
    start = _whole(first)
    return lambda _draw, number: start + number


def _choice(options: Any) -> Maker:
    if not isinstance(options, list) or not options:
        raise ValueError("expected a list with one value or more")
    return lambda draw, _number: draw.choice(options)


def _integer(ends: Any) -> Maker:
    if not isinstance(ends, list) or len(ends) != 2:  # noqa: PLR2004 - a range has two ends
        raise ValueError("expected [lowest, highest]")
    low, high = map(_whole, ends)
    if low > high:
        raise ValueError(f"{low} is above {high}")
    return lambda draw, _number: draw.randint(low, high)


def _text(length: Any) -> Maker:
    letters = _whole(length)
    if not 0 <= letters <= MAX_TEXT:
        raise ValueError(f"expected 0 to {MAX_TEXT:,} letters")
    return lambda draw, _number: "".join(draw.choices(string.ascii_lowercase, k=letters))


def _uuid(_option: Any) -> Maker:
    return lambda draw, _number: str(uuid.UUID(int=draw.getrandbits(128), version=4))


def _format(template: Any) -> Maker:
    text = str(template)
    text.format(n=0)  # raises here, not at the thousandth call
    return lambda _draw, number: text.format(n=number)


def _literal(option: Any) -> Maker:
    return lambda _draw, _number: option


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r} is not a whole number")
    return value


_MAKERS: dict[str, Callable[[Any], Maker]] = {
    "sequence": _sequence,
    "choice": _choice,
    "integer": _integer,
    "text": _text,
    "uuid": _uuid,
    "format": _format,
    "literal": _literal,
}
