"""The tasks of an app as a journal's process knows them: which rows it claims, and how many at once.

Two processes of the journal serve one app. One has a slot for each thread of the pool, so that what is
claimed begins. The other has many: coroutine tasks run on the loop, and tasks with a rate limit wait for
their turn.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from typing import Any
from zlib import crc32

from inprocess.celery.broker.broker import Lane
from inprocess.celery.durable.broker import PREFIX, JournalBroker
from inprocess.journal import DurableTask


class CeleryTask(DurableTask[[str], Coroutine[Any, Any, None]]):
    """A task of the app: its rows are delivered to the worker."""

    def __init__(self, task: Any, deliver: Callable[[str], Coroutine[Any, Any, None]]) -> None:
        super().__init__(deliver, name=PREFIX + task.name, listed=False)
        #: Changes with the task's own parameters, and not with those of `deliver`.
        self.__dict__["fingerprint"] = f"{crc32(str(inspect.signature(task.run)).encode()):08x}"


class CeleryTasks:
    """The tasks of one lane, see `inprocess.journal.journal.KnownTasks`. Loop's thread only."""

    def __init__(self, app: Any, broker: JournalBroker, lane: Lane) -> None:
        self._app = app
        self._broker = broker
        self._lane = lane
        self._made: dict[str, CeleryTask] = {}

    @property
    def queues(self) -> tuple[str, ...] | None:
        """Every queue, but for those that the worker was told to leave."""
        paused = self._broker.paused
        if not paused:
            return None
        return tuple(sorted({*self._app.amqp.queues, *self._broker.consumed()} - paused))

    def known(self) -> dict[str, DurableTask[Any, Any]]:
        """The tasks of this lane, by the name in their rows."""
        for name, task in list(self._app.tasks.items()):
            if name not in self._made and self._lane_of(name, task) == self._lane:
                self._made[name] = CeleryTask(task, self._broker.deliver)
        return {task.name: task for task in self._made.values()}

    def changes(self) -> int:
        """Grows with the number of tasks."""
        return len(self._app.tasks)

    def _lane_of(self, name: str, task: Any) -> Lane:
        is_limited = task.rate_limit or self._app.conf.task_default_rate_limit
        return "loop" if is_limited else self._broker.lane_of(name)
