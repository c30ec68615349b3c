"""The Celery app of `journal_soak`: chords with a callback and what follows it, on the same journal.

A part calls the service as the jobs of `journal_app` do, under the last of its arguments: those before are
results of the steps before.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from celery import Celery, chord
from kombu.utils.json import loads

from inprocess.celery.durable.broker import PREFIX
from inprocess.journal.model.job import Row

#: What a canvas consists of: the ends of its jobs' names.
PARTS = ("first", "second", "callback", "after")


class Canvas:
    """A task, and what sends a canvas of it. `call` makes the calls of one job."""

    def __init__(self, call: Callable[[str, int], Any]) -> None:
        self.app: Any = Celery("soak", broker="amqp://127.0.0.1:1//", set_as_current=False)

        async def part(self: Any, *names: Any) -> str:
            info = self.request.delivery_info or {}
            await call(names[-1], 1 + bool(info.get("redelivered")))
            return str(names[-1])

        make: Any = self.app.task
        self._part = make(part, name="soak.part", bind=True, acks_late=True, shared=False)

    async def send(self, name: str) -> list[str]:
        """Send a chord and what follows it; return the names of its jobs."""
        names = [f"{name}-{part}" for part in PARTS]
        first, second, callback, after = map(self._part.s, names)
        await asyncio.to_thread((chord([first, second], callback) | after).delay)
        return names


def name_of(row: Row) -> str:
    """The name of a job of the soak, which its row has among the arguments."""
    args = json.loads(row.args)[0]
    if row.fn.startswith(PREFIX):
        body = loads(args[0])["body"]
        args = (json.loads(body) if isinstance(body, str) else body)[0]
    return str(args[-1] if row.fn.startswith(PREFIX) else args[0])
