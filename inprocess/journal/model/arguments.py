"""Strict arguments: exactly what JSON gives back, checked where a job is enqueued.

None, bool, int, finite float, str, and lists and dictionaries (with str keys) of these: exactly these
types. JSON takes more and gives something else back: a tuple comes as a list, the key 1 as "1".
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Any, Final

from inprocess.journal.model.errors import ArgumentsError

#: Types whose values are themselves in JSON.
PLAIN: Final = frozenset({type(None), bool, int, str})
#: Lists and dictionaries within each other.
DEPTH_LIMIT: Final = 100

_TEXT: Final = frozenset({str})
_encode = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode


def dumps(task: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
    """Return the arguments as JSON; raise ArgumentsError with the path of a value that does not fit."""
    # Two walks, because making paths costs several times as much as looking.
    if not _fits([*args, *kwargs.values()], DEPTH_LIMIT + 1):
        for path, value in _paths(args, kwargs):
            _refuse(task, value, path, DEPTH_LIMIT)
    return _encode([[*args], kwargs] if kwargs else [[*args]]).encode()


def loads(body: bytes) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments that `dumps` has made; raise ValueError for anything else."""
    found = json.loads(body)
    args, kwargs = found if len(found) > 1 else (found[0], {})
    if type(args) is not list or type(kwargs) is not dict:
        raise ValueError("expected a list of arguments and an object of named ones")
    return args, kwargs


def _paths(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for number, value in enumerate(args):
        yield f"args[{number}]", value
    for name, value in kwargs.items():
        yield f"kwargs[{name!r}]", value


def _fits(value: Any, depth: int) -> bool:
    kind = type(value)
    if kind in PLAIN:
        return True
    if kind is float:
        return isfinite(value)
    if depth == 0 or (kind is not list and kind is not dict):
        return False
    if kind is dict and not _TEXT.issuperset(map(type, value)):
        return False
    inside = value if kind is list else value.values()
    return PLAIN.issuperset(map(type, inside)) or all(_fits(item, depth - 1) for item in inside)


def _refuse(task: str, value: Any, path: str, depth: int) -> None:
    """Raise for the first value in it that does not fit; do nothing if all do."""
    if _fits(value, depth):
        return
    kind = type(value)
    if kind is not list and kind is not dict:
        raise ArgumentsError(
            f"{task}: {path} is {_named(value)}, which JSON does not give back: {_advice(value)}"
        )
    if depth == 0:
        raise ArgumentsError(f"{task}: {path} lies more than {DEPTH_LIMIT} deep, or contains itself")
    for key, item in value.items() if kind is dict else enumerate(value):
        if kind is dict and type(key) is not str:
            raise ArgumentsError(
                f"{task}: {path} has the key {key!r}: JSON's keys are text, give {str(key)!r}"
            )
        _refuse(task, item, f"{path}[{key!r}]", depth - 1)


def _named(value: object) -> str:
    return f"the float {value}" if type(value) is float else f"of type {type(value).__qualname__}"


def _advice(value: object) -> str:
    if isinstance(value, tuple):
        return "give a list"
    plain = [kind.__name__ for kind in (dict, list, str, int, float) if isinstance(value, kind)]
    if plain and type(value) is not float:
        return f"give a plain {plain[0]}"
    return "give text, a number or an id, and make the object of it in the task"
