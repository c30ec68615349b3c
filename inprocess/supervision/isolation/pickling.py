"""Pickles for calls to a worker process and back, with errors that name what cannot be pickled.

`function` and each of `args` are pickled separately, so that an error can name the one at fault. Back
comes a result, or an exception with the text of its traceback, which pickling would lose; the text
becomes a note of the exception.
"""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

from inprocess.supervision.core.errors import NotPicklableError, RemoteError
from inprocess.supervision.core.redact import redact


class Call(NamedTuple):
    """One attempt, for a worker process."""

    name: str
    attempt: int
    function: bytes
    args: tuple[bytes, ...]
    main: dict[str, Any] | None  # how to import the app's main module, where the rest needs it


class Answer(NamedTuple):
    """The outcome: a pickled result, or a pickled exception with its traceback."""

    pickled: bytes
    traceback: str | None = None


def pack_call(name: str, attempt: int, function: Callable[..., object], args: tuple[Any, ...]) -> Call:
    """Pickle a call; raise NotPicklableError, which names the function or the argument."""
    packed = _pack(function, f"{name}: its function")
    packed_args = tuple(
        _pack(value, f"{name}: its argument {number},", ",") for number, value in enumerate(args, start=1)
    )
    return Call(name, attempt, packed, packed_args, _main_of((packed, *packed_args)))


def unpack_call(call: Call) -> tuple[Callable[..., object], tuple[Any, ...]]:
    """Unpickle function and arguments, in the worker; raise NotPicklableError if that fails."""
    function = _unpack(call.function, f"{call.name}: its function")
    return function, tuple(
        _unpack(value, f"{call.name}: its argument {number}") for number, value in enumerate(call.args, 1)
    )


def pack_result(name: str, result: object) -> Answer:
    """Pickle a result, or an error that names it if it cannot be pickled."""
    try:
        return Answer(_pack(result, f"{name}: its result"))
    except NotPicklableError as error:
        return pack_error(name, error)


def pack_error(name: str, error: BaseException) -> Answer:
    """Pickle an exception, or a RemoteError with its text if it cannot be pickled."""
    text = "".join(traceback.format_exception(error))
    try:
        pickled = pickle.dumps(error)
        pickle.loads(pickled)  # noqa: S301 - ours; many exceptions can be pickled and not unpickled
    except Exception as why:  # noqa: BLE001 - user code that pickling calls may raise anything
        kind = f"{type(error).__module__}.{type(error).__qualname__}"
        stand_in = RemoteError(f"{name}: {kind}: {error} (which cannot be pickled itself: {why})")
        pickled = pickle.dumps(stand_in)
    return Answer(pickled, text)


def open_answer(name: str, answer: Answer) -> object:
    """Return the result of a call or raise its exception, with the worker's traceback as a note."""
    value = _unpack(
        answer.pickled, f"{name}: its result" if answer.traceback is None else f"{name}: its error"
    )
    if answer.traceback is None:
        return value
    assert isinstance(value, BaseException)  # noqa: S101 - pack_error made it
    value.add_note(f"In the worker process:\n{answer.traceback}")
    raise value


def _pack(value: object, what: str, after: str = "") -> bytes:
    try:
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        raise NotPicklableError(
            f"{what} {redact(value)}{after} cannot be pickled, so it cannot go between processes: {error}. "
            'Pass functions that a module defines at its top, and plain data; or choose isolation="thread"'
        ) from error


def _unpack(pickled: bytes, what: str) -> Any:
    try:
        return pickle.loads(pickled)  # noqa: S301 - from our own worker, or our own app
    except Exception as error:
        raise NotPicklableError(f"{what} cannot be unpickled in the other process: {error!r}") from error


def _main_of(pickles: tuple[bytes, ...]) -> dict[str, Any] | None:
    if not any(b"__main__" in pickled or b"__mp_main__" in pickled for pickled in pickles):
        return None
    from multiprocessing import spawn  # late: few programs need it

    preparation = spawn.get_preparation_data("inprocess")
    del preparation["authkey"]  # a secret of multiprocessing, which refuses to pickle it
    return preparation
