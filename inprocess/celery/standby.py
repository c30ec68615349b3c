"""`CELERY_BROKER_URL=inprocess://`: an app with this broker runs in this process from its first task on.

It is enough to import `inprocess.celery` before the app is used. The run begins with the first task, on a
loop on a thread of its own, and is drained when the interpreter ends. An explicit `run_in_process`
replaces it. A process that sends no task starts nothing, so an app with a `beat_schedule` needs an
explicit run.

How it works: Celery calls a "fixup" with each app that is created. Ours waits until the app creates its AMQP
object, backend or control, because only then are its settings read and its broker known.
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
    """Watch each app, existing and future."""
    builtin: Any = Celery.builtin_fixups
    builtin.add(FIXUP)
    for app in list(state_module._apps):  # noqa: SLF001 - pinned
        look_at(app)


def look_at(app: Any) -> None:
    """Make the app stand by for its first task, if its broker turns out to be this process."""
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
    """Return a class, open to subclasses, that creates what `kind` creates unless the app stands by."""
    base: Any = symbol_by_name(kind)

    def new(cls: type, app: Any = None, **_: Any) -> Any:
        return app.__dict__[part] if _stands_by(app) else base.__new__(cls)

    return type(base.__name__, (base,), {"__new__": new, "__module__": base.__module__})


def _stands_by(app: Any) -> bool:
    """Create a run that stands by, if the app's broker is this process; return whether the app has a run."""
    if not is_ours(app):
        return False
    if "send_task" not in app.__dict__:  # a run has patched it, or had
        run_in_process(app).stand_by()
    return True
