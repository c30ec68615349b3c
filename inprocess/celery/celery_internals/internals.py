"""Every undocumented part of Celery and kombu that this package uses, in one place.

Typed as Any, because the stubs omit most of a worker's internals.
`tests/inprocess/celery/celery_internals/test_pins.py` pins what is expected of each, so that a new
version of Celery fails there, by name, and not in an app.
"""

from __future__ import annotations

from typing import Any, Final

import celery._state
import celery.app.trace
import celery.backends.asynchronous
import celery.backends.base
import celery.bootsteps
import celery.result
import celery.signals
import celery.utils.functional
import celery.utils.imports
import celery.utils.nodenames
import celery.utils.saferepr
import celery.utils.threads
import celery.worker
import celery.worker.consumer
import celery.worker.control
import celery.worker.state
import kombu
import kombu.asynchronous.timer
import kombu.message
import kombu.serialization
import kombu.transport
import kombu.transport.virtual
from celery.app.amqp import AMQP as _AMQP
from celery.app.control import Control as _Control
from celery.concurrency.base import BasePool as _BasePool

# What is subclassed.
AMQP: Final[Any] = _AMQP
Control: Final[Any] = _Control
BasePool: Final[Any] = _BasePool
WorkController: Final[Any] = celery.worker.WorkController
Consumer: Final[Any] = celery.worker.consumer.Consumer
Blueprint: Final[Any] = celery.bootsteps.Blueprint
StartStopStep: Final[Any] = celery.bootsteps.StartStopStep
BaseKeyValueStoreBackend: Final[Any] = celery.backends.base.BaseKeyValueStoreBackend
AsyncBackendMixin: Final[Any] = celery.backends.asynchronous.AsyncBackendMixin
DisabledBackend: Final[Any] = celery.backends.base.DisabledBackend
BaseResultConsumer: Final[Any] = celery.backends.asynchronous.BaseResultConsumer
KombuProducer: Final[Any] = kombu.Producer
KombuTimer: Final[Any] = kombu.asynchronous.timer.Timer
VirtualChannel: Final[Any] = kombu.transport.virtual.Channel
VirtualTransport: Final[Any] = kombu.transport.virtual.Transport

# What is called.
build_tracer: Final[Any] = celery.app.trace.build_tracer
trace_task: Final[Any] = celery.app.trace.trace_task
trace_task_ret: Final[Any] = celery.app.trace.trace_task_ret
anon_nodename: Final[Any] = celery.utils.nodenames.anon_nodename
get_current_worker_task: Final[Any] = celery._state.get_current_worker_task  # noqa: SLF001 - pinned
get_ident: Final[Any] = celery.utils.threads.get_ident
symbol_by_name: Final[Any] = celery.utils.imports.symbol_by_name
loads: Final[Any] = kombu.serialization.loads
prepare_accept_content: Final[Any] = kombu.serialization.prepare_accept_content
saferepr: Final[Any] = celery.utils.saferepr.saferepr

#: Whose receivers are told of each message that is sent.
SENDING_SIGNALS: Final[Any] = (
    celery.signals.before_task_publish,
    celery.signals.after_task_publish,
    celery.signals.task_sent,
)

# What is looked at, or replaced for a while.
LazyHeader: Final[Any] = celery.utils.functional._regen  # type: ignore[attr-defined]  # noqa: SLF001 - pinned
BrokerState: Final[Any] = kombu.transport.virtual.BrokerState
Message: Final[Any] = kombu.message.Message
Panel: Final[Any] = celery.worker.control.Panel
TERMINATE: Final[Any] = celery.bootsteps.TERMINATE  # type: ignore[attr-defined]  # not in the stubs
TRANSPORT_ALIASES: Final[Any] = kombu.transport.TRANSPORT_ALIASES
result_module: Final[Any] = celery.result
state_module: Final[Any] = celery._state  # noqa: SLF001 - pinned
worker_state: Final[Any] = celery.worker.state
