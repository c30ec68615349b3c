"""Results in memory: a result wakes all who wait for it, without polling.

State and result of a task are kept under its id, as Celery's key-value backends write them: with `strict`
through the result serialiser, so that what comes back is what a real backend would return; otherwise by
reference. They are kept until they are forgotten, or for `result_expires` (a day by default), and at most
MAX_RESULTS of them: beyond that the oldest are dropped.

Any thread. Waiting on the loop that the run lives on would wait for itself and is refused. On any other loop
it is allowed, and blocks that loop.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from celery import states
from celery.exceptions import TimeoutError as ResultTimeoutError

from inprocess.celery.celery_internals.internals import (
    AsyncBackendMixin,
    BaseKeyValueStoreBackend,
    BaseResultConsumer,
)
from inprocess.celery.results.chords import Chords

#: Results that are kept at most.
MAX_RESULTS: Final = 100_000


class Store:
    """Keys with values, oldest first, and a condition that is notified of each change. Any thread."""

    def __init__(self, max_results: int = MAX_RESULTS, now: Callable[[], float] = time.monotonic) -> None:
        self.changed = threading.Condition()
        self.waiters: Any = None
        #: The loop that the run lives on; None before it begins.
        self.loop: asyncio.AbstractEventLoop | None = None
        #: Seconds between two looks for results that nobody here tells of; None where all are told.
        self.look_s: float | None = None
        self._max = max_results
        self._now = now
        self._values: dict[str, tuple[float, Any]] = {}  # in the order of their first writing

    def chords(self, backend: Any) -> Chords:
        """Return the chords of a backend with this store."""
        return Chords(backend)

    def get(self, key: str) -> Any:
        """Return the value of a key; None if there is none or it has expired."""
        expires_at, value = self._values.get(key, (0.0, None))
        return value if expires_at > self._now() else None

    def set(self, key: str, value: Any, lives_s: float | None) -> None:
        """Write a value that expires after so many seconds (None or 0: never), and drop old values."""
        with self.changed:
            now = self._now()
            self._values[key] = (now + lives_s if lives_s else float("inf"), value)
            if len(self._values) > self._max:
                self._drop(now)

    def pop(self, key: str) -> Any:
        """Remove a key; return its value, or None."""
        with self.changed:
            return self._values.pop(key, (0.0, None))[1]

    def tell(self) -> None:
        """Wake all that wait for a change."""
        with self.changed:
            self.changed.notify_all()

    def __len__(self) -> int:
        return len(self._values)

    def _drop(self, now: float) -> None:
        """Drop expired values; if there are none, the oldest tenth."""
        for key in [key for key, (expires_at, _) in self._values.items() if expires_at <= now]:
            del self._values[key]
        if len(self._values) > self._max:
            for key in list(self._values)[: max(1, self._max // 10)]:
                del self._values[key]


class Waiters(BaseResultConsumer):  # type: ignore[misc]  # see internals
    """Wakes those that wait for results."""

    def start(self, initial_task_id: str, **_: Any) -> None:
        """Do nothing: there is no connection."""

    def consume_from(self, task_id: str) -> None:
        """Do nothing: results are pushed."""

    cancel_for = consume_from

    def drain_events_until(
        self, p: Any, timeout: float | None = None, on_interval: Callable[[], object] | None = None
    ) -> Iterator[None]:
        """Wait until `p` is ready; raise TimeoutError after `timeout` seconds."""
        if not p.ready:
            refuse_on_loop(self.backend.store.loop)
        changed = self.backend.store.changed
        deadline = None if timeout is None else time.monotonic() + timeout
        while not p.ready:
            with changed:
                if not p.ready:
                    left = None if deadline is None else deadline - time.monotonic()
                    if left is not None and left <= 0:
                        raise ResultTimeoutError("The operation timed out.")
                    look_s = self.backend.store.look_s
                    changed.wait(left if look_s is None else min(look_s, left or look_s))
            if self.backend.store.look_s is not None:
                self.look()
            if on_interval:
                on_interval()
            yield

    def look(self) -> None:
        """Notify those who wait for a result that another process has written."""
        for task_id in {key for pending in self._pending_results for key in pending}:
            meta = self.backend._get_task_meta_for(task_id)  # noqa: SLF001 - of this module
            if meta["status"] in states.READY_STATES:
                self.on_state_change(meta, None)


class InProcessBackend(AsyncBackendMixin, BaseKeyValueStoreBackend):  # type: ignore[misc]  # see internals
    """See the module."""

    supports_native_join = True
    supports_autoexpire = True
    persistent = False
    key_t = str

    def __init__(self, app: Any, *, store: Store, strict: bool, url: str | None = None) -> None:
        self.store = store
        self.strict = strict
        self._chords = store.chords(self)
        super().__init__(app, url=url)
        self.thread_safe = True  # one for all threads of the app
        if store.waiters is None:
            store.waiters = Waiters(self, app, self.accept, self._pending_results, self._pending_messages)
        self.result_consumer = store.waiters
        self._pending_results: Any = store.waiters._pending_results  # noqa: SLF001 - all apps wait in one place

    def get(self, key: str) -> Any:
        """See Celery's key-value backends."""
        return self.store.get(key)

    def mget(self, keys: list[str]) -> list[Any]:
        """See Celery's key-value backends."""
        return [self.store.get(key) for key in keys]

    def set(self, key: str, value: Any) -> None:
        """See Celery's key-value backends."""
        self.store.set(key, value, self.expires)

    def delete(self, key: str) -> None:
        """See Celery's key-value backends."""
        self.store.pop(key)

    def encode(self, data: Any) -> Any:
        """Use the serialiser, or pass by reference."""
        return super().encode(data) if self.strict else data

    def decode(self, payload: Any) -> Any:
        """Use the serialiser, or pass by reference."""
        return super().decode(payload) if self.strict or payload is None else dict(payload)

    def encode_result(self, result: Any, state: str) -> Any:
        """Like `encode`; by reference, an error stays the same object."""
        return super().encode_result(result, state) if self.strict else result

    def add_pending_result(self, result: Any, weak: bool = False, start_drainer: bool = True) -> Any:  # noqa: ARG002, FBT001, FBT002 - Celery's signature
        """Notify a result of its end; now, if it has ended."""
        self._add_pending_result(result.id, result, weak=weak)
        meta = self._get_task_meta_for(result.id)
        if meta["status"] in states.READY_STATES:
            result._maybe_set_cache(meta)  # noqa: SLF001 - as Celery's own backends
        return result

    def remove_pending_result(self, result: Any) -> Any:
        """Stop notifying this result; Celery before 5.7 would stop any other with the same id as well."""
        waiting = (mapping.get(result.id) for mapping in self._pending_results)
        if any(found is result or (isinstance(found, Mapping) and id(result) in found) for found in waiting):
            return super().remove_pending_result(result)
        return result

    def apply_chord(self, header_result_args: Any, body: Any, **_: Any) -> None:  # noqa: ARG002 - Celery's signature
        """Get ready for a chord."""
        self._chords.apply(header_result_args)

    def set_chord_size(self, group_id: str, chord_size: int) -> None:
        """Expect so many parts, in addition to those that were added."""
        self._chords.grow(group_id, chord_size)

    def add_to_chord(self, chord_id: str, result: Any) -> None:
        """Expect one part more."""
        self._chords.grow(chord_id, 1, part=result.id)

    def on_chord_part_return(self, request: Any, state: str, result: Any, **_: Any) -> None:
        """Note a part that has returned, or failed."""
        self._chords.part_returned(request, state, result)

    def _store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **_: Any
    ) -> Any:
        """Write a state, unless the task has succeeded already, and wake those that wait for it."""
        meta = self._get_result_meta(result=result, state=state, traceback=traceback, request=request)
        meta["task_id"] = task_id
        key = self.get_key_for_task(task_id)
        with self.store.changed:
            kept = self.store.get(key)
            if kept is not None and kept[0] == states.SUCCESS:
                return result
            self.store.set(key, (state, self.encode(meta)), self.expires)
        if any(mapping.get(task_id) for mapping in self._pending_results):
            self.result_consumer.on_state_change(self._get_task_meta_for(task_id), None)
        self.store.tell()
        return result

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        kept = self.store.get(self.get_key_for_task(task_id))
        if kept is None:
            return {"status": states.PENDING, "result": None}
        meta: dict[str, Any] = self.decode_result(kept[1])
        return meta


def refuse_on_loop(loop: asyncio.AbstractEventLoop | None) -> None:
    """Raise RuntimeError on this loop, the run's own, which would wait for itself."""
    if loop is None or asyncio._get_running_loop() is not loop:  # noqa: SLF001 - documented under this name
        return
    raise RuntimeError(
        "get() on the run's own event loop would stop the loop that is to bring the result: "
        "use `await inprocess.celery.result(async_result)`, or asyncio.to_thread(async_result.get)"
    )
