"""Strict arguments: refuses, where a job is sent, what JSON would turn into something else.

A job's arguments are None, bool, int, finite float, str, and lists and dictionaries (with str keys) of
these: exactly these types, because a worker gets exactly these back. JSON takes more and gives something else
back: a tuple comes as a list, the key 1 as "1", an enum as its value.

The tuple of positional arguments itself is fine; Celery's own tasks (`celery.…`) carry signatures and are not
checked. The middleware `StrictArguments` checks what `delay`, `send_task`, canvas,
retries and beat send, and `SidekiqTask.apply` what eager mode runs; so it holds in `testing` as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import isfinite
from typing import Any, Final

from kombu.exceptions import EncodeError

#: Types whose values are themselves in JSON.
PLAIN: Final = frozenset({type(None), bool, int, str})
#: Types of a dictionary's keys.
TEXT: Final = frozenset({str})
#: Types whose values are in JSON where all that they hold is.
NESTED: Final = frozenset({list, dict})
#: Lists and dictionaries within each other: as deep as Ruby's JSON, and so Sidekiq, goes.
DEPTH_LIMIT: Final = 100
#: Names of Celery's own tasks begin with this.
CELERYS_OWN: Final = "celery."


class ArgumentsError(EncodeError, TypeError):
    """An argument would not reach the worker as it was sent; the text names the task, path and type.

    Celery's EncodeError too: a chain whose next task refuses a result fails as one that cannot be encoded.
    """


def check(task: str, args: Any, kwargs: Any) -> None:
    """Raise ArgumentsError, with the path of the first offending value, for what JSON does not give back."""
    # Two walks, because making paths costs several times as much as looking.
    if _fits([*(args or ()), *(kwargs or {}).values()], DEPTH_LIMIT + 1):
        return
    for number, value in enumerate(args or ()):
        _refuse(task, value, f"args[{number}]", DEPTH_LIMIT)
    for name, value in (kwargs or {}).items():
        _refuse(task, value, f"kwargs[{name!r}]", DEPTH_LIMIT)


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


def _refuse(task: str, value: Any, path: str, depth: int) -> None:
    """Raise for the first value in it that does not fit; do nothing where all do."""
    if _fits(value, depth):
        return
    if type(value) not in NESTED:
        raise ArgumentsError(
            f"{task}: {path} is {_named(value)}, which JSON does not give back: {_advice(value)}"
        )
    if depth == 0:
        raise ArgumentsError(f"{task}: {path} lies more than {DEPTH_LIMIT} deep, or contains itself")
    for key, item in value.items() if type(value) is dict else enumerate(value):
        if type(value) is dict and type(key) is not str:
            raise ArgumentsError(
                f"{task}: {path} has the key {key!r}: JSON's keys are text, send {str(key)!r}"
            )
        _refuse(task, item, f"{path}[{key!r}]", depth - 1)


def _named(value: object) -> str:
    return f"the float {value}" if type(value) is float else f"of type {type(value).__qualname__}"


def _advice(value: object) -> str:
    if isinstance(value, tuple):
        return "send a list"
    plain = [kind.__name__ for kind in (dict, list, str, int) if isinstance(value, kind)]
    if plain:
        return f"send a plain {plain[0]}"
    return "send text, a number or an id, and make the object of it in the task"


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
