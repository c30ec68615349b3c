"""Gives the user's app its own packages, in a process that has imported ours.

`bench`, `scenarios`, `reports` and `tests` are ordinary names, and the app may have packages with these
names. Modules of ours that are loaded stay loaded for those that use them; what changes is what an import
finds:

- `reports` and `tests` of ours are not on the path.
- `bench` and `scenarios` are the app's where it has them. `bench.hooks` stays importable beside a `bench` of
  the app that has no module `hooks`.
- `inprocess` and `celery_impl` run the app and must be ours: an app with such a package is refused.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from bench import hooks

#: Packages that the app may replace, and those that it may not; each with a file that only ours has.
REPLACEABLE = {"bench": "own_app", "scenarios": "contract.py"}
RESERVED = {"inprocess": "supervision", "celery_impl": "sidekiq"}
#: The module of ours that tasks import.
HOOKS = hooks.__name__


class NameTakenError(Exception):
    """The app has a package whose name is reserved; the message names it."""


def put_app_first(folder: str) -> None:
    """Make imports look in the app's folder first and in ours last; raise NameTakenError."""
    links = Path(str(sys.modules["bench"].__file__)).parents[2]
    theirs = [folder, *(entry for entry in sys.path if not entry.startswith(str(links)))]
    for name, marker in RESERVED.items():
        if spec := _of_app(name, marker, theirs):
            raise NameTakenError(
                f"{_place(spec)} has the name of a package that queue-or-task needs: rename it"
            )
    taken = {name for name, marker in REPLACEABLE.items() if _of_app(name, marker, theirs)}
    ours = [str(links / name) for name in (*RESERVED, *REPLACEABLE) if name not in taken]
    sys.path[:] = [*theirs, *ours]
    for name in taken:
        _forget(name)


def _of_app(name: str, marker: str, path: list[str]) -> ModuleSpec | None:
    """The app's own package of this name; None for no package and for an installed copy of ours."""
    spec = PathFinder.find_spec(name, path)
    if spec is None or Path(_place(spec), marker).exists():
        return None
    return spec


def _place(spec: ModuleSpec) -> str:
    return next(iter(spec.submodule_search_locations or [str(spec.origin)]))


def _forget(name: str) -> None:
    """Let the next import of the name find the app's package; `bench.hooks` stays where theirs has none."""
    for loaded in [each for each in sys.modules if each == name or each.startswith(f"{name}.")]:
        del sys.modules[loaded]
    spec = PathFinder.find_spec(name)
    places = spec.submodule_search_locations if spec else None
    if name == "bench" and (places is None or PathFinder.find_spec(HOOKS, places) is None):
        sys.modules[HOOKS] = hooks
