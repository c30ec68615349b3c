"""The messages of a task's jobs, made by filling the gaps in a message of Celery's own.

Two jobs of a task that are sent in the same way differ in id, arguments, the sender's thread and the moment.
`of` takes a message that Celery and kombu have made with marks in these places, and keeps the text between
them. So a message is Celery's, field by field, whatever its version adds; a test compares them.
"""

from __future__ import annotations

import base64
from json.encoder import encode_basestring_ascii as quoted
from typing import Any, Final, NamedTuple
from uuid import uuid4

from celery.utils.saferepr import saferepr
from kombu import serialization
from kombu.utils import json as kombu_json

#: No other text of a message has it.
_MARK: Final = f"gap-{uuid4().hex}-"
#: Characters of a body whose arguments are shown by `repr`; those of a longer one are cut by Celery's way.
SHORT: Final = 400
#: Levels of nested values that Celery shows at least, in a text that `repr` makes as well.
SHALLOW: Final = 3
#: Types that `repr` shows as Celery does, but for some characters of a text.
_PLAIN: Final = frozenset({type(None), bool, int, float, str})
#: kombu's serializers by name; not in the stubs.
_REGISTRY: Final[Any] = vars(serialization)["registry"]
#: As kombu's `dumps`, which makes an encoder for each call.
_encode: Final = kombu_json.JSONEncoder().encode


class Marks(NamedTuple):
    """What stands in a message in place of what differs."""

    job_id: str = f"{_MARK}id"
    args: str = f"{_MARK}args"
    kwargs: str = f"{_MARK}kwargs"
    body: str = f"{_MARK}body"
    reply_to: str = f"{_MARK}reply"
    tag: str = f"{_MARK}tag"
    sent_at: str = f"{_MARK}at"
    unique: str = f"{_MARK}unique"


MARKS: Final = Marks()


class Shown(NamedTuple):
    """How Celery shows arguments in a message: characters of either, and levels of nested values."""

    args: int
    kwargs: int
    levels: int


class MessageTemplate:
    """A message with gaps. Any thread may fill it."""

    __slots__ = ("_links", "_shown", "_text", "links", "serializer")

    def __init__(self, text: str, *, links: dict[str, Any], serializer: str, shown: Shown) -> None:
        """`text` is the message with MARKS; `links` the third part of its body."""
        text = text.replace("%", "%%")
        for name, mark in MARKS._asdict().items():
            text = text.replace(f'"{mark}"', f"%({name})s")
        self._text = text
        self.links = links
        self._links = _encode(links)
        self.serializer = serializer
        self._shown = shown

    def fill(
        self, job_id: str, args: Any, kwargs: Any, *, reply_to: str, tag: str, now: float, unique: str = ""
    ) -> str:
        """Return the message of a job that is queued `now`, s since 1970.

        Raise what the serializer raises.
        """
        args, kwargs = args or (), kwargs or {}
        body, is_short = self._body(args, kwargs)
        shown = self._shown
        quoted_id = f'"{job_id}"'
        return self._text % {
            "job_id": quoted_id,
            "args": quoted(_repr(args, shown.args, shown.levels, is_short=is_short)) if args else '"()"',
            "kwargs": quoted(_repr(kwargs, shown.kwargs, shown.levels, is_short=is_short))
            if kwargs
            else '"{}"',
            "body": f'"{base64.b64encode(body).decode()}"',
            "reply_to": f'"{reply_to}"',
            "tag": f'"{tag}"',
            "sent_at": repr(now),
            "unique": f'"{unique}"',
        }

    def _body(self, args: Any, kwargs: Any) -> tuple[bytes, bool]:
        """Return the serialized body, and whether it is short."""
        if self.serializer == "json" and _is_kombus_json():
            try:
                body = f"[{_encode(args)}, {_encode(kwargs) if kwargs else '{}'}, {self._links}]".encode()
            except Exception:  # noqa: BLE001 - the long way raises it as Celery does
                return _serialized(args, kwargs, self.links, "json"), False
            return body, len(body) < SHORT
        return _serialized(args, kwargs, self.links, self.serializer), False


def _serialized(args: Any, kwargs: Any, links: Any, serializer: str) -> bytes:
    data: Any = serialization.dumps((args, kwargs, links), serializer)[2]
    return data if isinstance(data, bytes) else str(data).encode()


def _is_kombus_json() -> bool:
    """Whether nobody has registered another serializer by this name."""
    encoder = _REGISTRY._encoders.get("json")  # noqa: SLF001 - pinned by a test
    return encoder is not None and encoder.encoder is kombu_json.dumps


def _repr(values: Any, longest: int, levels: int, *, is_short: bool) -> str:
    """Return `saferepr(values, longest, maxlevels=levels)`, by `repr` where that is the same."""
    if is_short and levels >= SHALLOW and longest > SHORT and _is_shallow(values):
        text = repr(values)
        if "\\" not in text and '"' not in text:
            return text
    return str(saferepr(values, longest, maxlevels=levels))


def _is_shallow(values: Any) -> bool:
    """Whether these are plain values, or lists and dictionaries of such."""
    inside = values.values() if type(values) is dict else values
    if _PLAIN.issuperset(map(type, inside)):
        return True
    for value in inside:
        kind = type(value)
        if kind is dict:
            if not (_PLAIN.issuperset(map(type, value)) and _PLAIN.issuperset(map(type, value.values()))):
                return False
        elif not (kind in _PLAIN or (kind is list and _PLAIN.issuperset(map(type, value)))):
            return False
    return True
