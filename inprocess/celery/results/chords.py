"""Chords: parts are counted under one lock, so the body is sent once, when the last part returns.

1. `apply` keeps the header's structure if it contains groups, because the body gets the results in that
   shape; otherwise it keeps the results in the order they come.
2. `grow` sets the number of parts, which Celery knows before it sends the last one, and adds one to a running
   chord.
3. When that many parts have returned, the body gets their results in the header's order; a failed part fails
   the body with Celery's ChordError.

A part that returns twice (redelivered after a crash) counts once, and not at all after the body was sent. A
chord that never completes is forgotten with its results.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from celery import states
from celery.canvas import maybe_signature
from celery.exceptions import ChordError
from celery.result import GroupResult, allow_join_result
from celery.utils.log import get_logger

from inprocess.celery.celery_internals.internals import LazyHeader

logger = get_logger(__name__)


@dataclass(slots=True)
class _Chord:
    """The parts of a chord that have returned, encoded, in that order."""

    size: int | None = None
    #: By id and index: the index, and the result.
    parts: dict[tuple[str, Any], tuple[float, Any]] = field(default_factory=dict)
    is_sent: bool = False

    @property
    def is_complete(self) -> bool:
        return self.size is not None and len(self.parts) == self.size and not self.is_sent


class Chords:
    """The chords of one backend; see the module. Any thread."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def apply(self, header_result_args: Any) -> None:
        """Prepare a chord, which may have been applied before."""
        self._keep(header_result_args[0], _Chord())
        self._save_nested(header_result_args)

    def _save_nested(self, header_result_args: Any) -> None:
        """Keep the header's structure, if it has any."""
        if not isinstance(header_result_args[1], LazyHeader):  # a lazy header must stay so
            header = self._backend.app.GroupResult(*header_result_args)
            if any(isinstance(nested, GroupResult) for nested in header.results):
                header.save(backend=self._backend)

    def grow(self, group_id: str, parts: int, *, part: str | None = None) -> None:  # noqa: ARG002 - of those that must know it again
        """Expect so many more parts; `part` is the id of one that was added to a running chord."""
        with self._backend.store.changed:
            chord = self._chord(group_id)
            chord.size = (chord.size or 0) + parts

    def part_returned(self, request: Any, state: str, result: Any) -> None:
        """Record a part that has returned or failed; the last one sends the body."""
        group_id, task_id, index = request.group, request.id, request.group_index
        if not group_id or not task_id:
            return
        backend = self._backend
        encoded = self._encoded(task_id, state, result)
        with backend.store.changed:
            chord = self._chord(group_id)
            chord.parts.setdefault((task_id, index), (float("inf") if index is None else index, encoded))
            if not chord.is_complete:
                return
            chord.is_sent = True
        self._complete(group_id, maybe_signature(request.chord, app=backend.app), chord.parts)
        chord.parts.clear()

    def _encoded(self, task_id: str, state: str, result: Any) -> Any:
        backend = self._backend
        return backend.encode({"state": state, "id": task_id, "result": backend.encode_result(result, state)})

    def _complete(self, group_id: str, body: Any, parts: Mapping[Any, Any]) -> None:
        """Send the body with the results of the parts, or fail it."""
        backend = self._backend
        try:
            results = self._joined(group_id, parts)
        except ChordError as error:
            logger.exception("Chord %r raised", group_id)
            backend.chord_error_from_stack(body, error)
        except Exception as error:
            logger.exception("Chord %r raised", group_id)
            backend.chord_error_from_stack(body, ChordError(f"Join error: {error!r}"))
        else:
            try:
                body.delay(results)
            except Exception as error:
                logger.exception("Chord callback for %r raised", group_id)
                backend.chord_error_from_stack(body, ChordError(f"Callback error: {error!r}"))

    def _joined(self, group_id: str, parts: Mapping[Any, Any]) -> Any:
        """Return the results in the header's shape and order; raise ChordError for a failed part."""
        header = GroupResult.restore(group_id, app=self._backend.app)
        if header is None:
            ordered = sorted(parts.values(), key=lambda part: part[0])
            return [self._unpacked(encoded) for _, encoded in ordered]
        timeout_s = self._backend.app.conf.result_chord_join_timeout
        header.on_ready()  # type: ignore[attr-defined]  # its parts have returned, or it would not be asked
        with allow_join_result():
            return header.join_native(timeout=timeout_s, propagate=True)

    def _unpacked(self, encoded: Any) -> Any:
        backend = self._backend
        part = backend.decode(encoded)
        result = part["result"]
        if part["state"] in states.EXCEPTION_STATES:
            result = backend.exception_to_python(result)
        if part["state"] in states.PROPAGATE_STATES:
            raise ChordError(f"Dependency {part['id']} raised {result!r}") from result
        return result

    def _chord(self, group_id: str) -> _Chord:
        backend = self._backend
        chord: _Chord | None = backend.store.get(backend.get_key_for_chord(group_id))
        return self._keep(group_id, _Chord()) if chord is None else chord

    def _keep(self, group_id: str, chord: _Chord) -> _Chord:
        backend = self._backend
        backend.store.set(backend.get_key_for_chord(group_id), chord, expires_s(backend))
        return chord


def expires_s(backend: Any) -> float | None:
    """Return the seconds for which a chord is kept; Celery has a setting for it from 5.5 on."""
    seconds: float | None = getattr(backend, "chord_expires", backend.expires)
    return seconds
