"""`CELERY_BROKER_URL=inprocess://`: an app whose broker is this process runs here from its first task on.

Importing `inprocess.celery` anywhere before the app is used is all that it takes. The run begins on
a loop on a thread of its own at the first task, and is drained when the interpreter ends. An
explicit `run_in_process` takes its place. A process that sends nothing starts nothing, so an app
with a `beat_schedule` needs an explicit run.

How it comes about: Celery calls a "fixup" with each app that is made. Ours waits until the app
makes its AMQP object, backend or control, which is when its settings are read; only then can it
be told whose broker this is.
"""

from __future__ import annotations

from typing import Any, Final

from celery import Celery

from inprocess.celery.broker.kombu_transport import SCHEME
from inprocess.celery.celery_internals.internals import state_module, symbol_by_name
from inprocess.celery.run import run_in_process

#: Where Celery finds our fixup.
FIXUP: Final = f"{__name__}:look_at"
#: The parts of an app that are made late, by the name of what makes them.
LATE: Final = {"amqp_cls": "amqp", "control_cls": "control"}


def watch_for_apps() -> None:
    """Have each app looked at, those that there are and those to come."""
    builtin: Any = Celery.builtin_fixups
    builtin.add(FIXUP)
    for app in list(state_module._apps):  # noqa: SLF001 - pinned
        look_at(app)


def look_at(app: Any) -> None:
    """Have the app stand by for its first task, if it turns out that its broker is this process."""
    for maker, part in LATE.items():
        if part not in app.__dict__:
            setattr(app, maker, _late(getattr(app, maker), part))
    make_backend = app._get_backend  # noqa: SLF001 - pinned

    def backend() -> Any:
        return app.backend if _stands_by(app) else make_backend()

    app._get_backend = backend  # noqa: SLF001 - pinned


def is_ours(app: Any) -> bool:
    """Whether the app's broker URL is `inprocess://`."""
    url = app.conf.broker_write_url
    return isinstance(url, str) and url.partition("://")[0] == SCHEME


def _late(kind: Any, part: str) -> type:
    """A class that makes what `kind` makes unless the app stands by; it can be built upon, as `kind` can."""
    base: Any = symbol_by_name(kind)

    def new(cls: type, app: Any = None, **_: Any) -> Any:
        return app.__dict__[part] if _stands_by(app) else base.__new__(cls)

    return type(base.__name__, (base,), {"__new__": new, "__module__": base.__module__})


def _stands_by(app: Any) -> bool:
    """Make a run that stands by, if the app's broker is this process; whether the app has a run now."""
    if not is_ours(app):
        return False
    if "send_task" not in app.__dict__:  # a run is hooked in, or was
        run_in_process(app).stand_by()
    return True
