"""Strict arguments: refuses, where a job is sent, what its serializer would turn into something else.

A job's arguments must come back from the serializer that the job has (JSON, pickle, msgpack …) as they are:
of the same type, and equal. None, bool, int, finite float, str, and lists and dictionaries (with str keys) of
these come back from any. For the rest the serializer itself is tried. kombu's JSON gives UUID, datetime and
Decimal back; but a tuple comes as a list, the key 1 as "1", an enum as its value. pickle gives
back all of these.

The tuple of positional arguments itself is fine; Celery's own tasks (`celery.…`) carry signatures and are not
checked. The middleware `StrictArguments` checks what `delay`, `send_task`, canvas,
retries and beat send, and `SidekiqTask.apply` what eager mode runs; so it holds in `testing` as well.
"""

from __future__ import annotations

import pickle  # of values of the caller's own
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import isfinite
from typing import Any, Final

from kombu import serialization
from kombu.exceptions import EncodeError, SerializerNotInstalled

#: What Celery serializes with unless it is told otherwise.
JSON: Final = "json"
#: Types whose values come back from every serializer.
PLAIN: Final = frozenset({type(None), bool, int, str})
#: Types of a dictionary's keys.
TEXT: Final = frozenset({str})
#: Types whose values come back where all that they hold does.
NESTED: Final = frozenset({list, dict})
#: Lists and dictionaries within each other: as deep as Ruby's JSON, and so Sidekiq, goes.
DEPTH_LIMIT: Final = 100
#: Names of Celery's own tasks begin with this.
CELERYS_OWN: Final = "celery."
#: What an error names besides the remedy.
SWITCH: Final = "or sidekiq_strict_arguments=False on the task"


class ArgumentsError(EncodeError, TypeError):
    """An argument would not reach the worker as it was sent; the text names the task, path and type.

    Celery's EncodeError too: a chain whose next task refuses a result fails as one that cannot be encoded.
    """


def check(task: str, args: Any, kwargs: Any, *, serializer: str = JSON) -> None:
    """Raise ArgumentsError, with the path of the first value that the serializer does not give back."""
    # Two walks, because making paths costs several times as much as looking.
    if _fits([*(args or ()), *(kwargs or {}).values()], DEPTH_LIMIT + 1):
        return
    asked = _Serializer(serializer)
    for number, value in enumerate(args or ()):
        _refuse(task, value, f"args[{number}]", DEPTH_LIMIT, asked)
    for name, value in (kwargs or {}).items():
        _refuse(task, value, f"kwargs[{name!r}]", DEPTH_LIMIT, asked)


def copied(task: Any, args: Any, kwargs: Any) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments as the worker would get them; raise what the serializer raises."""
    made = serialization.dumps([list(args), dict(kwargs)], task.serializer or JSON)
    copied_args, copied_kwargs = serialization.loads(made[2], made[0], made[1], force=True)
    return copied_args, copied_kwargs


class _Serializer:
    """Tries values on a serializer of kombu's."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.label = "JSON" if name == JSON else name
        self.nested = (*NESTED, tuple) if self.gives_back((), 1) else tuple(NESTED)

    def gives_back(self, value: Any, depth: int) -> bool:
        """Return whether the value comes back as it is; one that nests deeper than `depth` does not."""
        try:
            kind, encoding, data = serialization.dumps(value, self._name)
            back = serialization.loads(data, kind, encoding, force=True)
            return self._same(value, back, depth)
        except SerializerNotInstalled:
            return True  # Celery says so when it sends the job
        except Exception:  # noqa: BLE001 - whatever a serializer, or a method of the value, raises
            return False

    def _same(self, value: Any, back: Any, depth: int) -> bool:
        kind = type(value)
        if kind is not type(back):
            return False
        if kind is float:
            return isfinite(value) or self._name != JSON  # NaN is no JSON, though Python's takes it
        if kind in {list, tuple, dict}:
            if depth == 0 or len(value) != len(back):
                return False
            pairs = zip(value, back, strict=True)
            if kind is dict:
                if [*map(type, value)] != [*map(type, back)] or list(value) != list(back):
                    return False
                pairs = zip(value.values(), back.values(), strict=True)
            return all(self._same(*pair, depth - 1) for pair in pairs)
        # An object without `==` of its own equals itself alone: what it is made of counts.
        return bool(value == back) or pickle.dumps(value) == pickle.dumps(back)


def _fits(value: Any, depth: int) -> bool:
    kind = type(value)
    if kind in PLAIN:
        return True
    if kind is float:
        return isfinite(value)
    if depth == 0 or kind not in NESTED:
        return False
    if kind is dict and not TEXT.issuperset(map(type, value)):
        return False
    inside = value if kind is list else value.values()
    return PLAIN.issuperset(map(type, inside)) or all(_fits(item, depth - 1) for item in inside)


def _refuse(task: str, value: Any, path: str, depth: int, asked: _Serializer) -> None:
    """Raise for the first value in it that does not come back; do nothing where all do."""
    if _fits(value, depth) or asked.gives_back(value, depth):
        return
    kind = type(value)
    if kind in asked.nested:
        if depth == 0:
            raise ArgumentsError(f"{task}: {path} lies more than {DEPTH_LIMIT} deep, or contains itself")
        for key, item in value.items() if kind is dict else enumerate(value):
            if kind is dict and not asked.gives_back({key: None}, 1):
                raise ArgumentsError(
                    f"{task}: {path} has the key {key!r}, which {asked.label} does not give back: "
                    f"send {str(key)!r}, {SWITCH}"
                )
            _refuse(task, item, f"{path}[{key!r}]", depth - 1, asked)
    raise ArgumentsError(
        f"{task}: {path} is {_named(value)}, which {asked.label} does not give back: "
        f"{_advice(value)}, {SWITCH}"
    )


def _named(value: object) -> str:
    return f"the float {value}" if type(value) is float else f"of type {type(value).__qualname__}"


def _advice(value: object) -> str:
    if isinstance(value, tuple):
        return "send a list"
    plain = [kind.__name__ for kind in (dict, list, str, int) if isinstance(value, kind)]
    if plain:
        return f"send a plain {plain[0]}"
    return "send text, a number or an id and make the object of it in the task"


@contextmanager
def as_they_came() -> Iterator[None]:
    """Check no arguments inside, in this thread: a job's own message is sent again as it came."""
    token = AS_THEY_CAME.set(True)
    try:
        yield
    finally:
        AS_THEY_CAME.reset(token)


#: Whether this thread sends a job's own message again, so that nothing is checked.
AS_THEY_CAME: Final = ContextVar("sidekiq_as_they_came", default=False)


def is_strict(task: Any) -> bool:
    """Return whether jobs of the task are checked; those of an app without `Sidekiq(app)` are."""
    return bool(getattr(task, "sidekiq_strict_arguments", True)) and not task.name.startswith(CELERYS_OWN)
