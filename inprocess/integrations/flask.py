"""Flask: each job in an application context of its own.

    from inprocess.integrations import flask as jobs

    jobs.init_app(app)

A job begins in a copy of the context of who started it: of a request. Without this, its `g` and its
Flask-SQLAlchemy session would be the request's own, and a commit of the view would commit half of the job's
work.

1. The context is pushed before each attempt of a job, in its thread (or around an async function, on the
   loop), and popped after it, which runs the app's teardown functions: Flask-SQLAlchemy removes the job's
   session there.
2. It is of the app that was active where the job was started, else of the only app that was initialised. With
   several, a job that was started outside of any context has none.
3. For the jobs of one supervisor, without `init_app`: `TaskSupervisor.start(around=app.app_context)`.

`request` is the request's own, a copy of the reference: read from it before the job is started.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakSet

from flask import Flask, current_app, has_app_context

from inprocess.supervision.isolation.around import around_every_job

_apps: WeakSet[Flask] = WeakSet()


def init_app(app: Flask) -> None:
    """Run each job of this process in an application context of its own. Call it for each app."""
    _apps.add(app)
    around_every_job(own_app_context)


@contextmanager
def own_app_context() -> Iterator[None]:
    """Push a new context of the app that the job belongs to; the hook of `init_app`."""
    app = _app_here()
    if app is None:
        yield
        return
    with app.app_context():
        yield


def _app_here() -> Flask | None:
    if has_app_context():
        return current_app._get_current_object()  # type: ignore[attr-defined,no-any-return]  # noqa: SLF001 - documented for this
    apps = list(_apps)
    return apps[0] if len(apps) == 1 else None
