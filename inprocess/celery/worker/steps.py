"""Bootsteps of the app, such as a ConsumerStep: started with Celery's own names around them, and stopped.

A step may require any of Celery's: those that there is no need for here (Mingle, Gossip, Events …) count
as started. The connection is kombu's own, to the broker in memory.
"""

from __future__ import annotations

import logging
from typing import Any

from inprocess.celery.celery_internals.internals import Blueprint, StartStopStep, symbol_by_name

logger = logging.getLogger(__name__)


class Connection(StartStopStep):  # type: ignore[misc]  # see internals
    """The consumer's connection, for steps that consume from a queue of their own."""

    name = "celery.worker.consumer.connection.Connection"  # the name that other steps use

    def start(self, consumer: Any) -> None:
        """Make a connection; it connects with its first channel."""
        consumer.connection = consumer.app.connection_for_read()

    def shutdown(self, consumer: Any) -> None:
        """Close it."""
        consumer.connection.release()


class Tasks(StartStopStep):  # type: ignore[misc]  # see internals
    """Builds the strategies of the tasks."""

    name = "celery.worker.consumer.tasks.Tasks"  # as above

    def start(self, consumer: Any) -> None:
        """Build the strategies."""
        consumer.update_strategies()


class ConsumerBlueprint(Blueprint):  # type: ignore[misc]  # see internals
    """The steps of the consumer: those two, and the app's."""

    name = "Consumer"
    default_steps = (Connection, Tasks)

    def shutdown(self, parent: Any) -> None:
        """See Celery's."""
        self.send_all(parent, "shutdown", propagate=False)

    def _finalize_steps(self, steps: dict[str, Any]) -> list[Any]:
        """Return the steps in the order of their start, each behind those that it requires."""
        ordered: list[Any] = []

        def place(step: Any) -> None:
            if step in ordered:
                return
            for required in map(symbol_by_name, step.requires):
                known = steps.get(required.name)
                if known is None and not _is_celerys(required):
                    known = steps[required.name] = required
                if known is not None:
                    place(known)
            ordered.append(step)

        for step in sorted(steps.values(), key=lambda step: (step is not Connection, str(step.name))):
            place(step)
        return ordered


def stop_steps(controller: Any) -> None:
    """Close and stop the app's own steps of a worker and its consumer, as at a warm shutdown; log errors."""
    consumer = controller.consumer
    for method in ("close", "stop"):
        for parent in (consumer, controller):
            _call(parent, method)
    _call(consumer, "shutdown")
    consumer.connection.release()


def _call(parent: Any, method: str) -> None:
    for step in reversed(parent.steps):
        if _is_celerys(type(step)) or not hasattr(step, method):
            continue
        try:
            getattr(step, method)(parent)
        except Exception:  # the next one must be stopped too
            logger.exception("%s of the bootstep %s failed", method, step.alias)


def _is_celerys(step: Any) -> bool:
    """Whether it is one of Celery's steps, or of those in their place."""
    return str(step.__module__).startswith(("celery.", __name__))
