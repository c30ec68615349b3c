"""Values as logs and reports may show them: short and without secrets.

    >>> from inprocess.supervision.core.redact import redact
    >>> redact({"user": 7, "api_key": "k-123"})
    "{'user': 7, 'api_key': [hidden]}"

A value is hidden because of its name: the key of a mapping, the field of a dataclass, attrs class or
named tuple, the parameter of a function, `name=value` or `name: value` in a string or in the repr of
any other object, and the password of a URL. A secret without such a name looks like any other value:
pass an id instead, or `hide` its name.

Strings are truncated and deep values are not followed: one value takes at most VALUE_CHARACTERS. An
object whose `__repr__` raises is shown by its type.
"""

from __future__ import annotations

import dataclasses
import re
import reprlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

#: Shown instead of a secret.
HIDDEN: Final = "[hidden]"
#: Characters of one value.
VALUE_CHARACTERS = 300
#: Characters of one text, or of one object's own repr, inside of a value.
TEXT_CHARACTERS = 80
#: Characters of a text that are read; the rest is never shown.
LOOKED_AT_CHARACTERS = 1000

#: A name is that of a secret if it contains one of these; case, `_` and `-` do not matter.
_fragments: set[str] = {
    "accesskey", "apikey", "authorization", "cookie", "credential", "passphrase", "passwd", "password",
    "privatekey", "pwd", "secret", "signature", "token",
}  # fmt: skip
_URL_PASSWORD = re.compile(r"(://[^/\s:@]*:)[^/\s@]+(?=@)")
_NAMED = re.compile(
    r"(?P<name>[A-Za-z_][\w-]*)(?P<quote>['\"]?\s*[=:]\s*)"
    r"(?P<value>(?:Bearer|Basic)\s+[^\s,;)}\]]+|'(?:[^'\\]|\\.)*'?|\"(?:[^\"\\]|\\.)*\"?|[^\s,;&)}\]]+)",
    re.IGNORECASE,
)


def hide(*names: str) -> None:
    """Hide values under these names too, or under names that contain them. Any thread."""
    _fragments.update(map(_plain, names))
    _is_secret_plain.clear()


def is_secret(name: object) -> bool:
    """Whether a value with this name is hidden."""
    if not isinstance(name, str):
        return False
    known = _is_secret_plain.get(name)
    if known is None:
        plain = _plain(name)
        known = any(fragment in plain for fragment in tuple(_fragments))
        if len(_is_secret_plain) < LOOKED_AT_CHARACTERS:
            _is_secret_plain[name] = known
    return known


def redact(value: object) -> str:
    """Return the value's repr: one line of at most VALUE_CHARACTERS, secrets hidden. Never raises."""
    try:
        return _cut(_shorten.repr(value), VALUE_CHARACTERS)
    except BaseException:  # noqa: BLE001 - a log line about a strange object must not fail
        return _stand_in(value, "repr")


def repr_of(value: object) -> str:
    """Return `repr(value)`, or a stand-in if that fails. Never raises."""
    try:
        return repr(value)
    except BaseException:  # noqa: BLE001 - as in `redact`
        return _stand_in(value, "repr")


def text_of(value: object) -> str:
    """Return `str(value)`, or a stand-in if that fails. Never raises."""
    try:
        return str(value)
    except BaseException:  # noqa: BLE001 - as in `redact`
        return _stand_in(value, "str")


def redact_call(
    function: Callable[..., object], args: Iterable[object] = (), keywords: Mapping[str, object] | None = None
) -> str:
    """Return `function(arguments)` for a log. An argument is also hidden by its parameter's name."""
    names = _parameters(function)
    shown = [
        HIDDEN if k < len(names) and is_secret(names[k]) else redact(value) for k, value in enumerate(args)
    ]
    shown += [
        f"{name}={HIDDEN if is_secret(name) else redact(value)}" for name, value in (keywords or {}).items()
    ]
    return f"{function_name(function)}({', '.join(shown)})"


def function_name(function: object) -> str:
    """Return the function's qualified name, or its type's if it has none."""
    function = getattr(function, "func", function)  # functools.partial
    return str(getattr(function, "__qualname__", None) or type(function).__qualname__)


def _parameters(function: object) -> tuple[str, ...]:
    """Return the names of the positional parameters, as far as the code has them, without `self`."""
    plain = getattr(function, "__func__", function)
    code = getattr(plain, "__code__", None)
    if code is None:
        return ()
    return tuple(code.co_varnames[plain is not function : code.co_argcount])


class _Shorten(reprlib.Repr):
    """reprlib's short repr, with secrets hidden."""

    def repr1(self, x: Any, level: int) -> str:
        if isinstance(x, str | bytes | bytearray):
            return self._text(x)
        if isinstance(x, Mapping):
            return self._mapping(x, level)
        fields = None if isinstance(x, type) else _fields(x)
        if fields is not None:
            return self._record(x, fields, level)
        kind = type(x)
        if kind in {list, tuple, set, frozenset}:
            return super().repr1(x, level)
        return _cut(scrub(self._other(x)), TEXT_CHARACTERS)

    def _text(self, text: str | bytes | bytearray) -> str:
        head = text[:LOOKED_AT_CHARACTERS]
        head = scrub(head) if isinstance(head, str) else scrub(head.decode("latin-1")).encode("latin-1")
        shown = repr(head[:TEXT_CHARACTERS])
        return shown if len(head) <= TEXT_CHARACTERS else f"{shown[:-1]}…{shown[-1]}"

    def _mapping(self, mapping: Mapping[Any, Any], level: int) -> str:
        if level <= 0:
            return "{…}"
        shown = [
            f"{self.repr1(key, level - 1)}: {HIDDEN if is_secret(key) else self.repr1(value, level - 1)}"
            for key, value, _ in zip(mapping, mapping.values(), range(self.maxdict), strict=False)
        ]
        return "{" + ", ".join(shown + ["…"] * (len(mapping) > self.maxdict)) + "}"

    def _record(self, record: object, fields: Iterable[str], level: int) -> str:
        kind = type(record).__qualname__
        if level <= 0:
            return f"{kind}(…)"
        shown = [
            f"{name}={HIDDEN if is_secret(name) else self.repr1(getattr(record, name, None), level - 1)}"
            for name in fields
        ]
        return f"{kind}({', '.join(shown)})"

    @staticmethod
    def _other(value: object) -> str:
        return repr_of(value)[:LOOKED_AT_CHARACTERS]


def _fields(value: object) -> Iterable[str] | None:
    """Return the names of the fields that its repr shows; None if it is no record."""
    if dataclasses.is_dataclass(value):
        return [field.name for field in dataclasses.fields(value) if field.repr]
    attributes = getattr(type(value), "__attrs_attrs__", None)
    if attributes is not None:
        return [attribute.name for attribute in attributes if attribute.repr]
    return getattr(value, "_fields", None) if isinstance(value, tuple) else None


def scrub(text: str) -> str:
    """Hide passwords of URLs, and values after the name of a secret, in a text."""
    text = _URL_PASSWORD.sub(rf"\1{HIDDEN}", text)
    return _NAMED.sub(_hide_named, text)


def _hide_named(match: re.Match[str]) -> str:
    if not is_secret(match["name"]):
        return f"{match['name']}{match['quote']}{_NAMED.sub(_hide_named, match['value'])}"
    return f"{match['name']}{match['quote']}{HIDDEN}"


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: characters - 1] + "…"


def _stand_in(value: object, what: str) -> str:
    return f"<{type(value).__qualname__}, whose {what} fails>"


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


_is_secret_plain: dict[str, bool] = {}
_shorten = _Shorten()
_shorten.maxlevel, _shorten.maxdict = 4, 8
