"""Broker: the queues of a Celery app, in memory, for one worker of the same process.

1. A message waits in the queue it was sent to. The worker takes from all queues in turn; within a queue the
   highest priority first (AMQP's order: 9 before 0), equal priorities in order of arrival. Queues that no
   task was sent to, such as those of Celery's monitors, are not the worker's.
2. Messages for coroutine tasks and for plain tasks have lanes of their own, so that neither waits for the
   other's free slots.
3. A message with an ETA does not queue: the worker takes it at once and holds it on its timer.
4. A taken message is held until it is acknowledged. `restore` puts back what was not, marked as redelivered,
   for a worker that restarts after a crash.
5. While `refusal` is set, only running tasks may send; the senders check it.

Nothing is copied or serialised, and nothing survives the process. Any thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import chain, count
from typing import Any, Final, Literal

Lane = Literal["thread", "loop"]
LANES: Final[tuple[Lane, ...]] = ("thread", "loop")


@dataclass(slots=True, eq=False)
class Envelope:
    """A message as it was sent. Only `redelivered` changes, so it can be delivered again."""

    queue: str
    body: Any
    content_type: str | None
    content_encoding: str | None
    headers: dict[str, Any]
    properties: dict[str, Any]
    exchange: str = ""
    routing_key: str = ""
    redelivered: bool = False
    number: int = 0  # its place in order of arrival
    tag: int = 0  # of its delivery
    call: Mapping[str, Any] | None = None  # the task's call, in protocol 1
    within: object = None  # the caller's transaction to write it in, where a journal keeps messages
    held: Any = None  # the run of its row, as above

    @property
    def about(self) -> Mapping[str, Any]:
        """What names the task, its id and ETA: the headers, or the body in Celery's protocol 1."""
        return self.call if self.call is not None else self.headers

    @property
    def has_eta(self) -> bool:
        """Whether it has an ETA."""
        return self.about.get("eta") is not None

    @property
    def priority(self) -> int:
        """The higher, the earlier it is taken."""
        return self.properties.get("priority") or 0


@dataclass(slots=True)
class _Queue:
    """Heaps of (minus priority, number, message), one a lane."""

    thread: list[tuple[int, int, Envelope]] = field(default_factory=list)
    loop: list[tuple[int, int, Envelope]] = field(default_factory=list)

    def lane(self, lane: Lane) -> list[tuple[int, int, Envelope]]:
        return self.loop if lane == "loop" else self.thread

    def __len__(self) -> int:
        return len(self.thread) + len(self.loop)

    def __iter__(self) -> Iterator[Envelope]:
        return (entry[2] for entry in sorted(chain(self.thread, self.loop), key=lambda entry: entry[:2]))


class Broker:
    """See the module. `lane_of` returns the lane of a task by its name; `wake` is called after each put."""

    #: Whether what waits survives the process.
    survives = False

    def __init__(self, lane_of: Callable[[str | None], Lane] = lambda _task: "thread") -> None:
        self.lane_of = lane_of
        self.wake: Callable[[], object] = _nobody
        self.refusal: str | None = None
        self.paused: set[str] = set()
        self._lock = threading.Lock()
        self._queues: dict[str, _Queue] = {}
        self._turn: list[str] = []  # the queues' names, the one to be taken from next at the end
        self._express: list[Envelope] = []
        self._numbers = count(1)
        self._taken: dict[int, Envelope] = {}

    def put(self, envelope: Envelope) -> None:
        """Accept a message, and wake the worker."""
        with self._lock:
            envelope.number = next(self._numbers)
            self._put(envelope)
        self.wake()

    def take(self, lane: Lane) -> Envelope | None:
        """Return the next message of a lane, or None; it is held until `ack` or `reject`."""
        with self._lock:
            for name in reversed(self._turn):
                heap = self._queues[name].lane(lane)
                if heap and name not in self.paused:
                    self._turn.remove(name)
                    self._turn.insert(0, name)
                    return self._hold(heappop(heap)[2])
        return None

    def take_express(self) -> Envelope | None:
        """Return the next message with an ETA, or None; held as by `take`."""
        with self._lock:
            for position, envelope in enumerate(self._express):
                if envelope.queue not in self.paused:
                    del self._express[position]
                    return self._hold(envelope)
        return None

    def get(self, queue: str) -> Envelope | None:
        """Return the next message of one queue, in any lane, without holding it; None if there is none."""
        with self._lock:
            waiting = self._queues.get(queue)
            heaps = [heap for heap in (waiting.thread, waiting.loop) if heap] if waiting else []
            return heappop(min(heaps, key=lambda heap: heap[0][:2]))[2] if heaps else None

    def begins(self, tag: int, runs_on: Callable[[], bool]) -> None:
        """Note that a job begins with a message; `runs_on` tells whether it cannot be stopped."""

    def written(self, tag: int) -> Future[bool] | None:  # noqa: ARG002 - for those that keep messages
        """Return what has, once it is on disk, whether a begun job's acknowledgement counts; None at once."""
        return None

    def over(self, tag: int) -> None:
        """Note that the job of this tag has ended."""

    def withdraw(self) -> None:
        """Take back what the worker has not taken, if that survives the process."""

    def ack(self, tag: int) -> None:
        """Release a taken message."""
        with self._lock:  # else `restore` could put it back meanwhile, and it would run again
            self._taken.pop(tag, None)

    def reject(self, tag: int, *, requeue: bool) -> None:
        """Release a taken message, or put it back in its place, marked as redelivered."""
        with self._lock:
            envelope = self._taken.pop(tag, None)
            if not requeue or envelope is None:
                return
            envelope.redelivered = True
            self._put(envelope)
        self.wake()

    def restore(self) -> int:
        """Put back all taken messages without acknowledgement, in their old order; return their number."""
        with self._lock:
            taken, self._taken = self._taken, {}
            for envelope in taken.values():
                envelope.redelivered = True
                self._put(envelope)
        return len(taken)

    def declare(self, queue: str, *, for_worker: bool = False) -> None:
        """Have a queue of this name, from which the worker takes only if that is said."""
        with self._lock:
            self._declare(queue)
            if for_worker and queue not in self._turn:
                self._turn.insert(0, queue)

    def pause(self, queue: str) -> None:
        """Take nothing from a queue until `resume`."""
        self.paused.add(queue)

    def resume(self, queue: str) -> None:
        """Take from a queue."""
        self.declare(queue, for_worker=True)
        self.paused.discard(queue)
        self.wake()

    def consumed(self) -> list[str]:
        """Return the names of the queues that the worker takes from."""
        with self._lock:
            return sorted(name for name in self._turn if name not in self.paused)

    def has(self, queue: str) -> bool:
        """Whether there is a queue of this name."""
        return queue in self._queues

    def size(self, queue: str) -> int:
        """Return the number of messages that wait in a queue."""
        waiting = self._queues.get(queue)
        return len(waiting) if waiting else 0

    def purge(self, queue: str) -> int:
        """Discard the messages that wait in a queue, ETAs included; return their number."""
        with self._lock:
            discarded = len(self._queues.get(queue, ()))
            if queue in self._queues:
                self._queues[queue] = _Queue()
            kept = [envelope for envelope in self._express if envelope.queue != queue]
            discarded += len(self._express) - len(kept)
            self._express = kept
        return discarded

    def waiting(self) -> list[Envelope]:
        """Return the messages that wait."""
        with self._lock:
            lines = [envelope for name in self._queues for envelope in self._queues[name]]
            return [*lines, *self._express]

    def ready(self) -> bool:
        """Whether there is a message that the worker would take with a free slot."""
        with self._lock:
            names = [name for name in self._turn if name not in self.paused]
            return any(len(self._queues[name]) for name in names) or any(
                envelope.queue not in self.paused for envelope in self._express
            )

    def taken(self) -> list[Envelope]:
        """Return the taken messages without acknowledgement."""
        with self._lock:
            return list(self._taken.values())

    def _hold(self, envelope: Envelope) -> Envelope:
        envelope.tag = next(self._numbers)
        self._taken[envelope.tag] = envelope
        return envelope

    def _put(self, envelope: Envelope) -> None:
        if envelope.has_eta:
            self._express.append(envelope)
            return
        name, task = envelope.queue, envelope.about.get("task")
        queue = self._declare(name)
        if task is not None and name not in self._turn:
            self._turn.insert(0, name)
        heap = queue.lane(self.lane_of(task))
        heappush(heap, (-envelope.priority, envelope.number, envelope))

    def _declare(self, name: str) -> _Queue:
        queue = self._queues.get(name)
        if queue is None:
            queue = self._queues[name] = _Queue()
        return queue


def _nobody() -> None:
    """Do nothing: there is no worker yet."""
