"""`CELERY_BROKER_URL=inprocess://`: an app with this broker runs in this process from its first task on.

Nothing need be imported: kombu finds the transport by an entry point of this package. The run begins with the
first task, on a loop on a thread of its own, and is drained when the interpreter ends. An explicit
`run_in_process` replaces it. A process that sends no task starts nothing, so an app with a `beat_schedule`
needs an
explicit run. `celery worker` and `celery beat` are refused: they would run in a process of their own,
without the app's tasks.

How it works: Celery calls a "fixup" with each app that is created. Ours waits until the app creates its AMQP
object, backend or control, because only then are its settings read and its broker known. An app that has
no fixups
(Celery's default app), or has made these before this module was imported, is found when it first connects.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Final, NoReturn

from celery import Celery, signals

from inprocess.celery.attach.app_patch import Ended
from inprocess.celery.broker import kombu_transport
from inprocess.celery.broker.broker import Broker
from inprocess.celery.broker.kombu_transport import SCHEME
from inprocess.celery.celery_internals.internals import state_module, symbol_by_name
from inprocess.celery.run import run_in_process, running

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
        if app.configured and app.use_fast_trace_task and is_ours(app):
            _refuse("celery worker")
    kombu_transport.find_broker = _find_broker
    signals.celeryd_init.connect(_refuse_worker, weak=False, dispatch_uid=f"{__name__}.worker")
    signals.beat_init.connect(_refuse_beat, weak=False, dispatch_uid=f"{__name__}.beat")


def look_at(app: Any) -> None:
    """Make the app stand by for its first task, if its broker turns out to be this process."""
    for maker, part in LATE.items():
        if part not in app.__dict__:
            setattr(app, maker, _late(getattr(app, maker), part))
    make_backend = app._get_backend  # noqa: SLF001 - pinned

    def backend() -> Any:
        kept = app.__dict__.get("_backend_cache") if _stands_by(app) else None
        return make_backend() if kept is None else kept  # a run with `memory_results=False` keeps none

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
    if running(app) is None and not isinstance(app.__dict__.get("send_task"), Ended):
        run_in_process(app).stand_by()
    return True


def _find_broker(task: str | None) -> Broker | None:
    """Return the broker of the app that sends this task over a connection whose URL names none.

    Apps that were not seen before stand by from now on.
    """
    for app in list(state_module._apps):  # noqa: SLF001 - pinned
        if app.configured and is_ours(app):
            _stands_by(app)
    found = [run for app in list(state_module._apps) if (run := running(app)) is not None and is_ours(app)]  # noqa: SLF001 - pinned
    own = [run for run in found if task in run.app._tasks]  # noqa: SLF001 - `tasks` would finalise the app
    return (own or found)[-1].broker if found else None


def _refuse_worker(instance: Any = None, **_: Any) -> None:
    if is_ours(instance.app):
        _refuse("celery worker")


def _refuse_beat(sender: Any = None, **_: Any) -> None:
    if is_ours(sender.app) and not getattr(sender, "is_in_process", False):
        _refuse("celery beat")


def _refuse(command: str) -> NoReturn:
    """End the process: its command needs a broker that other processes reach."""
    print(
        f"{command}: the broker {SCHEME}:// is in the memory of the process that sends the tasks, and runs "
        f"them there: start nothing beside it, or set CELERY_BROKER_URL to a broker for {command}",
        file=sys.__stderr__,  # beat has put its log in the place of the other
    )
    raise SystemExit(os.EX_CONFIG)
