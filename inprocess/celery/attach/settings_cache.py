"""A view of an app's settings that remembers what it was asked, for as long as the app runs in-process.

Celery goes through a chain of mappings, old and new spellings at each, for every look-up: some 2 µs,
fifteen times a `delay`. Here a setting is looked up once. Whatever changes a setting through the
view (`app.conf.x = …`, `update`, `pop` and the like) makes it forget everything; one that is changed
behind it, in a mapping that it was made from, is not noticed until the run ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

#: What changes a view.
CHANGES: Final = (
    "__setitem__",
    "__delitem__",
    "update",
    "pop",
    "clear",
    "setdefault",
    "add_defaults",
    "swap_with",
)


@contextmanager
def cached_settings(conf: Any) -> Iterator[None]:
    """Have these settings remember what they were asked as long as the block runs."""
    plain = type(conf)
    conf.__dict__["_remembered"] = {}
    object.__setattr__(conf, "__class__", _remembering(plain))  # type: ignore[arg-type]  # plain assignment would set a setting
    try:
        yield
    finally:
        _forget(conf)
        object.__setattr__(conf, "__class__", plain)
        del conf.__dict__["_remembered"]


@cache
def _remembering(plain: type) -> type:
    """A subclass that remembers. A value stands in the instance's dictionary, where Python looks first."""

    def look_up(self: Any, name: str) -> Any:
        value = plain.__getattr__(self, name)  # type: ignore[attr-defined]  # AttributeDictMixin's
        if not name.startswith("_"):
            self.__dict__[name] = value
            self.__dict__["_remembered"][name] = value
        return value

    def find(self: Any, name: str, namespace: str = "celery") -> Any:
        known = self.__dict__["_remembered"]
        key = f"{namespace}.{name}"
        if key not in known:
            known[key] = plain.find_value_for_key(self, name, namespace)  # type: ignore[attr-defined]  # Settings'
        return known[key]

    def timezone(self: Any) -> Any:
        known = self.__dict__["_remembered"]
        if "timezone" not in known:
            known["timezone"] = plain.timezone.fget(self)  # type: ignore[attr-defined]  # Settings'
        return known["timezone"]

    body: dict[str, Any] = {
        name: _forgetting(getattr(plain, name)) for name in CHANGES if hasattr(plain, name)
    }
    body |= {"__getattr__": look_up, "find_value_for_key": find, "timezone": property(timezone)}
    return type(plain.__name__, (plain,), body)


def _forgetting(change: Callable[..., Any]) -> Callable[..., Any]:
    def changed(self: Any, *args: Any, **kwargs: Any) -> Any:
        _forget(self)  # who is told of the change, within it, is to see it
        try:
            return change(self, *args, **kwargs)
        finally:
            _forget(self)

    return changed


def _forget(conf: Any) -> None:
    known = conf.__dict__["_remembered"]
    for name in list(known):
        conf.__dict__.pop(name, None)
    known.clear()
