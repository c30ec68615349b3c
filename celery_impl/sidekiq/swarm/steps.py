"""How the pool gets into Celery's worker: a consumer that consumes nothing, and what shuts down softly."""

from __future__ import annotations

from functools import partial
from typing import Any

from celery import bootsteps
from celery.worker.consumer.control import Control
from kombu.utils.imports import symbol_by_name

from celery_impl.sidekiq.swarm.pool import SwarmPool


class SwarmStep(bootsteps.Step):
    """Fits a worker with the pool `swarm` before its parts are made. Each app with `Sidekiq(app)` has it."""

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        if not _is_swarm(worker):
            return
        worker.autoscaler_cls = autoscaler_class(worker.autoscaler_cls)
        worker.consumer_cls = consumer_class(worker.consumer_cls)
        sleep = getattr(worker, "wait_for_soft_shutdown", None)  # Celery 5.5's
        if sleep is not None:
            worker.wait_for_soft_shutdown = partial(_soften, worker, sleep)

    def include_if(self, worker: Any) -> bool:
        """Only there."""
        return _is_swarm(worker)

    def create(self, worker: Any) -> None:
        """Nothing: see `__init__`."""


def consumer_class(kind: Any) -> Any:
    """Return the parent's consumer: the app's own, but it consumes nothing and its commands reach all."""
    base: Any = symbol_by_name(kind)

    class SwarmConsumer(base):  # type: ignore[misc] # the app's own
        child_of = base
        has_own_handlers = False

        def loop_args(self) -> Any:
            """Fork, as the last thing before the loop."""
            self.task_consumer.consume = _consume_nothing
            self.pool.begin(self)
            if not self.has_own_handlers:
                self.has_own_handlers = True
                boxes: list[Any] = [step for step in self.steps if isinstance(step, Control)]
                for control in boxes:  # none where remote control is off
                    control.box.node.handlers = self.pool.node.handlers(control.box.node.handlers)
            return super().loop_args()

        def cancel_active_requests(self) -> None:
            """End what the children run. Celery 5.5's cold shutdown."""
            self.pool.refresh()
            super().cancel_active_requests()

        def on_connection_error_after_connected(self, exc: Exception) -> None:
            """The children have connections of their own: what they run is none of this one's."""
            self.pool.forget()
            super().on_connection_error_after_connected(exc)

    return SwarmConsumer


def autoscaler_class(kind: Any) -> Any:
    """Return the app's autoscaler, but what it counts is what runs and what waits in the queues."""
    base: Any = symbol_by_name(kind)

    class SwarmAutoscaler(base):  # type: ignore[misc] # the app's own
        @property
        def qty(self) -> int:
            return int(self.pool.demand())

    return SwarmAutoscaler


def _is_swarm(worker: Any) -> bool:
    return isinstance(worker.pool_cls, type) and issubclass(worker.pool_cls, SwarmPool)


def _consume_nothing(*_: object, **__: object) -> None:
    """What the parent does about jobs."""


def _soften(worker: Any, sleep: Any) -> None:
    """Celery sleeps here while jobs run: the children must begin no others, and what they run be known."""
    worker.pool.refresh()
    worker.pool.quiet()
    sleep()
