"""What of an app is exchanged while it runs in-process, and put back afterwards.

`app.amqp`, `app.control`, the result backend and the way to a connection: four attributes of one
object, no module of Celery's. Tasks are seen to one by one, see `taskwise`.
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
from inprocess.celery.results.backend import InProcessBackend, Store
from inprocess.celery.sending.amqp import InProcessAMQP
from inprocess.celery.sending.errors import refused
from inprocess.celery.sending.fast_send import FastSend

#: Has a function called with the worker's controller, and gives what it returned.
Ask = Callable[[Callable[[Any], Any]], Any]
#: Stands for an attribute that was not there.
_NONE = object()


@contextmanager
def patched(
    app: Any, broker: Broker, *, strict: bool, ask: Ask, backend: Any = None, store: Store | None = None
) -> Iterator[None]:
    """Have the app publish into the broker as long as the block runs.

    Its results go to `backend`, else into `store`, else to the backend that the app is set up with.
    `ask` has a function called with the worker, for remote control.
    """
    app.finalize()
    url = url_of(broker)
    with ExitStack() as stack:
        stack.enter_context(cached_settings(_settings(app)))
        amqp = InProcessAMQP(app, broker, strict=strict)
        if "amqp" in app.__dict__:
            amqp.queues = app.amqp.queues  # what was selected and added stays
        exchanged = {
            "amqp": amqp,
            "_connection": _connection(app, url),
            "_pool": None,
            "use_fast_trace_task": False,  # it ignores tasks that are registered later
        }
        _exchange(stack, app, exchanged)
        if type(app).send_task is Celery.send_task:
            app.__dict__.pop("send_task", None)
            _exchange(stack, app, {"send_task": FastSend(app, amqp)})
        _exchange(stack, app, {"control": InProcessControl(app, ask)})  # which looks for the others
        if store is not None:
            backend = InProcessBackend(app, store=store, strict=strict, url=f"{url}results")
        if backend is not None:
            _exchange(stack, app, {"_backend_cache": backend})
        yield
    if not _has_broker(app):
        app.__dict__["send_task"] = Ended(broker)


class Ended:
    """Stands in the place of `send_task` after a run, of an app that has no broker to go back to."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def __call__(self, *_: Any, **__: Any) -> None:
        """Say that the run has ended, instead of looking for a broker that is not there."""
        raise refused(self._broker.refusal or "the in-process run of this app has ended")


def _has_broker(app: Any) -> bool:
    """Whether the app is set up with a broker that is not this process."""
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
    """What makes connections: to our broker, whatever is asked for."""

    def connect(_url: str | None = None, **_: Any) -> Any:
        return app.amqp.Connection(url)

    return connect


def _put_back(app: Any, name: str, value: object) -> None:
    if value is _NONE:
        app.__dict__.pop(name, None)
    else:
        app.__dict__[name] = value
