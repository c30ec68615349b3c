"""Imports a Celery app by its name, as `celery -A` does, or raises an error that says what to do."""

from __future__ import annotations

import importlib
import os
import re
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from celery import Celery
from celery.app.utils import find_app

from bench.own_app.children.import_path import NameTakenError, put_app_first

#: The line of Django's `manage.py` that names the settings module.
_SETTINGS = re.compile(r"""DJANGO_SETTINGS_MODULE["']\s*,\s*["']([\w.]+)["']""")


class AppError(Exception):
    """The app cannot be used. The message names the module or attribute, and what to do."""


def load(name: str, folder: str) -> Celery:
    """The app of `module:attribute` (or `module`, as `celery -A`), looked for in `folder` first.

    Every module that it names in `include`, `imports` or by autodiscovery is imported too. Raise AppError.
    """
    module_name, _, attribute = name.partition(":")
    try:
        put_app_first(folder)
    except NameTakenError as error:
        raise AppError(str(error)) from error
    try:
        return _app(
            name, _attribute(_module(module_name, folder), attribute) if attribute else find_app(name)
        )
    except AppError:
        raise
    except SystemExit as error:
        raise AppError(f"importing {name} ended the process: it called sys.exit({error.code!r})") from error
    except Exception as error:  # noqa: BLE001 - the user's code may raise anything
        _raise_import_error(name, error, folder)


def _app(name: str, found: Any) -> Celery:
    """The app with its tasks, itself where a proxy was named; raise AppError for something else."""
    while (behind := getattr(found, "_get_current_object", None)) is not None:
        found = behind()
    if not isinstance(found, Celery):
        raise AppError(f"{name} is a {type(found).__name__}, not a Celery app")
    found.finalize()
    found.loader.import_default_modules()
    return found


def _module(name: str, folder: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = str(error.name)
        if name == missing or name.startswith(f"{missing}."):
            raise AppError(
                f"no module is called {missing!r} in {folder}: start from the project's folder"
            ) from error
        raise


def _attribute(module: ModuleType, attribute: str) -> object:
    if hasattr(module, attribute):
        return getattr(module, attribute)
    apps = [name for name, value in vars(module).items() if isinstance(value, Celery)]
    hint = f"the Celery apps in it: {', '.join(apps)}" if apps else "there is no Celery app in it"
    raise AppError(f"{module.__name__} has no attribute {attribute!r}: {hint}")


def _raise_import_error(name: str, error: Exception, folder: str) -> NoReturn:
    """Raise AppError with the error and the last line of the project's code in its traceback."""
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    if _wants_django(error) and not os.environ.get("DJANGO_SETTINGS_MODULE"):
        setting = f"DJANGO_SETTINGS_MODULE={_settings_module(folder)}"
        raise AppError(f"{name} needs Django's settings: put {setting} before the command") from error
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename.startswith(folder)] or frames
    place = f"{own[-1].filename.removeprefix(folder).lstrip('/')}, line {own[-1].lineno}"
    raise AppError(f"importing {name} failed in {place}: {reason}") from error


def _wants_django(error: Exception) -> bool:
    return type(error).__module__.startswith("django.") and type(error).__name__ in {
        "ImproperlyConfigured",
        "AppRegistryNotReady",
    }


def _settings_module(folder: str) -> str:
    """The settings module that `manage.py` names, else a placeholder."""
    try:
        found = _SETTINGS.search(Path(folder, "manage.py").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        found = None
    return found[1] if found else "yourproject.settings"
