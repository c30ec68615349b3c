"""A cache of an app's settings while it runs in-process.

Celery looks a setting up in a chain of mappings, in old and new spelling: about 2 µs, fifteen times a
`delay`. Here it is looked up once. A change through the view (`app.conf.x = …`, `update`, `pop` and so on)
clears the cache, and so does one that Django tells of (`override_settings`). A change in one of the
mappings behind it
is not noticed until the run ends, but for those of eager mode (`UNCACHED`), which tests switch there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

#: The methods that change a view.
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
#: Settings that are looked up each time.
UNCACHED: Final = frozenset({"task_always_eager", "task_eager_propagates", "task_store_eager_result"})


@contextmanager
def cached_settings(conf: Any) -> Iterator[None]:
    """Cache these settings while the block runs."""
    plain = type(conf)
    conf.__dict__["_remembered"] = {}
    object.__setattr__(conf, "__class__", _remembering(plain))  # type: ignore[arg-type]  # plain assignment would set a setting
    changed = getattr(sys.modules.get("django.core.signals"), "setting_changed", None)

    def forget(**_: Any) -> None:
        _forget(conf)

    if changed is not None:
        changed.connect(forget)
    try:
        yield
    finally:
        if changed is not None:
            changed.disconnect(forget)
        _forget(conf)
        object.__setattr__(conf, "__class__", plain)
        del conf.__dict__["_remembered"]


@cache
def _remembering(plain: type) -> type:
    """Return a caching subclass. A value is kept in the instance's dictionary, where Python looks first."""

    def look_up(self: Any, name: str) -> Any:
        value = plain.__getattr__(self, name)  # type: ignore[attr-defined]  # AttributeDictMixin's
        if not name.startswith("_") and name not in UNCACHED:
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
        _forget(self)  # code called by the change must see it
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
