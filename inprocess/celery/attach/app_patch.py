"""Patches of an app while it runs in-process: attributes that are replaced, and restored at the end.

`app.amqp`, `app.control`, the result backend and the connection: four attributes of one object, no module
of Celery's. For tasks, see `worker.task_preparation`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from celery import Celery

from inprocess.celery.attach.control import InProcessControl
from inprocess.celery.attach.settings_cache import cached_settings
from inprocess.celery.broker.broker import Broker
from inprocess.celery.broker.kombu_transport import SCHEME, url_of
from inprocess.celery.durable.django import written_in_transaction
from inprocess.celery.results.backend import InProcessBackend, Store
from inprocess.celery.sending.amqp import InProcessAMQP
from inprocess.celery.sending.errors import refused
from inprocess.celery.sending.fast_send import FastSend

#: Calls a function with the worker's controller, and returns its result.
Ask = Callable[[Callable[[Any], Any]], Any]
#: Marks an attribute that did not exist.
_NONE = object()


@contextmanager
def patched(
    app: Any,
    broker: Broker,
    *,
    strict: bool,
    ask: Ask,
    backend: Any = None,
    store: Store | None = None,
    keeps_jobs: bool = True,
) -> Iterator[None]:
    """Make the app publish into the broker while the block runs.

    Its results go to `backend`, else into `store`, else to the app's own backend. `ask` calls a function
    with the worker, for remote control. With `keeps_jobs` false every message goes into the broker at once.
    """
    app.finalize()
    url = url_of(broker)
    with ExitStack() as stack:
        stack.enter_context(cached_settings(_settings(app)))
        keeps_jobs &= not broker.survives  # a journal keeps what waits for its time
        amqp = InProcessAMQP(app, broker, strict=strict, keeps_jobs=keeps_jobs)
        if broker.survives:
            stack.enter_context(written_in_transaction(app))
        if "amqp" in app.__dict__:
            amqp.queues = app.amqp.queues  # keep selected and added queues
        exchanged = {
            "amqp": amqp,
            "_connection": _connection(app, url),
            "_pool": None,
            "use_fast_trace_task": False,  # it ignores tasks that are registered later
        }
        _exchange(stack, app, exchanged)
        if isinstance(app.__dict__.get("send_task"), Ended):
            del app.__dict__["send_task"]
        if type(app).send_task is Celery.send_task:
            app.__dict__.pop("send_task", None)
            _exchange(stack, app, {"send_task": FastSend(app, amqp)})
        _exchange(stack, app, {"control": InProcessControl(app, ask)})  # it reads the attributes above
        if store is not None:
            backend = InProcessBackend(app, store=store, strict=strict, url=f"{url}results")
        if backend is not None:
            _exchange(stack, app, {"_backend_cache": backend})
        try:
            yield
        finally:
            if amqp.kept_jobs is not None:
                amqp.kept_jobs.close()
    if not _has_broker(app):
        app.__dict__["send_task"] = Ended(broker)


class Ended:
    """Replaces `send_task` after a run, in an app that has no broker to go back to."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def __call__(self, *_: Any, **__: Any) -> None:
        """Raise the error that the run has ended, instead of looking for a broker."""
        raise refused(self._broker.refusal or "the in-process run of this app has ended")


def _has_broker(app: Any) -> bool:
    """Whether the app has a broker other than this process."""
    url = app.conf.broker_write_url
    return bool(url) and not str(url).startswith(SCHEME)


def _exchange(stack: ExitStack, app: Any, attributes: dict[str, Any]) -> None:
    for name, value in attributes.items():
        stack.callback(_put_back, app, name, app.__dict__.get(name, _NONE))
        app.__dict__[name] = value


def _settings(app: Any) -> Any:
    app.conf.finalize()
    return app.conf


def _connection(app: Any, url: str) -> Callable[..., Any]:
    """Return what creates connections: always to the broker in memory."""

    def connect(_url: str | None = None, **_: Any) -> Any:
        return app.amqp.Connection(url)

    return connect


def _put_back(app: Any, name: str, value: object) -> None:
    if value is _NONE:
        app.__dict__.pop(name, None)
    else:
        app.__dict__[name] = value
