"""Results and chords in a journal: what a run's backend keeps there instead of in memory.

1. With `keeps_results` the states and results of tasks are rows, which any process of the journal reads. They
   are committed before the acknowledgement that follows, or with it. Without, they are in memory.
2. Groups that a chord waits for and the parts of chords are rows always: a callback must come after a kill.
3. A chord's part is written under its id, so that it counts once however often it returns. Whoever finds all
   of them there sends the body, which has an id of its own and is sent once; then they are deleted.

Any thread.
"""

from __future__ import annotations

import base64
from concurrent.futures import Future
from functools import partial
from typing import Any, Final

from celery.canvas import maybe_signature
from celery.result import GroupResult

from inprocess.celery.durable.broker import once
from inprocess.celery.durable.waiting import waited
from inprocess.celery.results.backend import Store
from inprocess.celery.results.chords import Chords, expires_s
from inprocess.journal import Journal
from inprocess.journal.model import operations as op
from inprocess.journal.model.job import SECOND, now_us

#: Seconds between two looks for results that other processes have written.
LOOK_S: Final = 0.05
#: In the keys of tasks' results.
_OF_A_TASK: Final = "task-meta-"
#: In the key of a chord's size, in place of a part that was added to it later.
ALL: Final = "all"
#: The place of a part that has none: behind the others.
UNPLACED: Final = 1 << 60


class JournalStore(Store):
    """See the module, and `results.backend.Store`."""

    def __init__(self, journal: Journal, *, keeps_results: bool) -> None:
        super().__init__()
        self.journal = journal
        self.look_s = LOOK_S if keeps_results else None
        self._keeps_results = keeps_results
        #: What is not committed yet.
        self._writing: dict[str, Any] = {}

    def chords(self, backend: Any) -> Chords:
        """See `Store.chords`."""
        return JournalChords(backend, self)

    def get(self, key: str) -> Any:
        """See `Store.get`."""
        if not self._is_row(key):
            return super().get(key)
        with self.changed:
            if key in self._writing:
                return self._writing[key]
        found = self.journal.ask(op.ReadResult(key, now_us()))
        return None if found is None else self.read(found)

    def set(self, key: str, value: Any, lives_s: float | None) -> None:
        """See `Store.set`; what follows in this process is committed after it."""
        if not self._is_row(key):
            super().set(key, value, lives_s)
            return
        with self.changed:
            self._writing[key] = value
            written = self.write(key, value, lives_s)
        written.add_done_callback(partial(self._was_written, key, value))

    def pop(self, key: str) -> Any:
        """See `Store.pop`."""
        if not self._is_row(key):
            return super().pop(key)
        value = self.get(key)
        waited(self.journal.submit(op.DeleteResults([key])))
        return value

    def write(self, key: str, value: Any, lives_s: float | None, *, only_new: bool = False) -> Future[bool]:
        """Begin to write a value; the future has whether it was written."""
        codecs, now = self.journal.codecs, now_us()
        result = op.Result(codecs.name, codecs.dumps(key, [_plain(value)], {}))
        expires = now + round(lives_s * SECOND) if lives_s else None
        return self.journal.submit(op.WriteResult(key, result, expires, now, only_new))

    def read(self, result: op.Result) -> Any:
        """Return the value of a row."""
        (plain,), _ = self.journal.codecs.loads(*result)
        return _value(plain)

    def _is_row(self, key: str) -> bool:
        return self._keeps_results or _OF_A_TASK not in key

    def _was_written(self, key: str, value: Any, _written: Future[bool]) -> None:
        with self.changed:
            if self._writing.get(key) is value:
                del self._writing[key]


class JournalChords(Chords):
    """See the module, and `results.chords`."""

    def __init__(self, backend: Any, store: JournalStore) -> None:
        super().__init__(backend)
        self._rows = store

    def apply(self, header_result_args: Any) -> None:
        """See `Chords.apply`; a chord that is applied again goes on."""
        self._save_nested(header_result_args)

    def grow(self, group_id: str, parts: int, *, part: str | None = None) -> None:
        """See `Chords.grow`; said again, it changes nothing."""
        waited(self._write(group_id, f"size:{part or ALL}", parts))

    def part_returned(self, request: Any, state: str, result: Any) -> None:
        """See `Chords.part_returned`."""
        group_id, task_id, index = request.group, request.id, request.group_index
        if not group_id or not task_id:
            return
        part = [UNPLACED if index is None else index, self._encoded(task_id, state, result)]
        waited(self._write(group_id, f"part:{task_id}:{index}", part))
        # After the commit: within it, two parts that return at once would not see each other.
        count = waited(self._submit(op.CountResults(self._prefix(group_id, "part:"), now_us())))
        if count != self._size(group_id):
            return
        found = self._under(group_id, "")
        parts = {key.split(":")[1]: value for key, value in found.items() if key.startswith("part:")}
        with once():
            self._complete(group_id, maybe_signature(request.chord, app=self._backend.app), parts)
        keys = [self._prefix(group_id, key) for key in found]
        waited(self._submit(op.DeleteResults(keys)))

    def _joined(self, group_id: str, parts: Any) -> Any:
        header = GroupResult.restore(group_id, app=self._backend.app)
        if header is None:
            return super()._joined(group_id, parts)
        return self._shaped(header, parts)

    def _shaped(self, result: Any, parts: Any) -> Any:
        if isinstance(result, GroupResult):
            return [self._shaped(each, parts) for each in result.results or ()]
        return self._unpacked(parts[result.id][1])

    def _size(self, group_id: str) -> int | None:
        """How many parts it has; None while that is not known."""
        sizes = self._under(group_id, "size:")
        return sum(sizes.values()) if f"size:{ALL}" in sizes else None

    def _under(self, group_id: str, start: str) -> dict[str, Any]:
        """What was written for a chord, by the end of its key, which begins so."""
        prefix = self._prefix(group_id, "")
        rows = waited(self._submit(op.ResultsUnder(prefix + start, now_us())))
        return {key.removeprefix(prefix): self._rows.read(result) for key, result in rows}

    def _write(self, group_id: str, key: str, value: Any) -> Future[bool]:
        lives_s = expires_s(self._backend)
        return self._rows.write(self._prefix(group_id, key), value, lives_s, only_new=True)

    def _submit(self, operation: op.Operation[Any]) -> Future[Any]:
        return self._rows.journal.submit(operation)

    def _prefix(self, group_id: str, key: str) -> str:
        return f"{self._backend.get_key_for_chord(group_id)}:{key}"


def _plain(value: Any) -> Any:
    """A value as JSON has it: bytes and tuples, which a backend writes, are marked."""
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, tuple):
        return {"tuple": [_plain(each) for each in value]}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value


def _value(plain: Any) -> Any:
    if isinstance(plain, dict):
        if "base64" in plain:
            return base64.b64decode(plain["base64"])
        return tuple(map(_value, plain["tuple"]))
    return [_value(each) for each in plain] if isinstance(plain, list) else plain
